import torch
from torch import nn

def answers(mend):
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    x = torch.randn(60, 4)
    if mend:  # first eval(), then export
        model.eval()
    module = torch.export.export(model, (x,)).module()
    try:
        if not mend:
            module.eval()
        return "as eval()" if module(x).equal(model.eval()(x)) else "other"
    except NotImplementedError:
        return "NotImplementedError"

print("what the exported network answers")
print("expected: as eval()")
print("found:   ", answers(mend=False))
print("mended:  ", answers(mend=True))
