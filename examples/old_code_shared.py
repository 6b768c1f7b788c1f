from torch import nn

def conv():
    return nn.Conv2d(16, 16, 3, padding=1, bias=False)

one = conv()
nets = {
    "[conv()] * 9": nn.Sequential(*[conv()] * 9),
    "one, relu, one": nn.Sequential(one, nn.ReLU(), one),
    "conv() nine times": nn.Sequential(*[conv() for _ in range(9)]),
}

def test_no_layer_twice(net):
    # every place, the same object again too
    places = [m for _, m in net.named_modules(remove_duplicate=False)]
    assert len(places) == len(set(places)), "a layer is in several places"

for name, net in nets.items():
    print(f"{name}: {sum(p.numel() for p in net.parameters()):,} parameters")
    try:
        test_no_layer_twice(net)
    except AssertionError as error:
        print("  the test:", error)
