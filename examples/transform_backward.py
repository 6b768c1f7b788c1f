import torch

class BatchNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, gamma, beta, eps):
        centred = x - x.mean(0)
        std = ((centred ** 2).mean(0) + eps) ** 0.5
        ctx.save_for_backward(centred / std, gamma, std)
        return gamma * centred / std + beta
    @staticmethod
    def backward(ctx, d_y):  # dl/dy: (m, C)
        x_hat, gamma, std = ctx.saved_tensors
        d_gamma, d_beta = (d_y * x_hat).sum(0), d_y.sum(0)
        d_x_hat = d_y * gamma
        d_variance = (d_x_hat * x_hat * std).sum(0) * -0.5 * std ** -3
        d_mean = -d_x_hat.sum(0) / std
        d_x = d_x_hat / std + (d_variance * 2 * x_hat * std + d_mean) / len(d_y)
        return d_x, d_gamma, d_beta, None

# mean and variance as constants
class Constants(BatchNorm):
    @staticmethod
    def backward(ctx, d_y):
        x_hat, gamma, std = ctx.saved_tensors
        return d_y * gamma / std, (d_y * x_hat).sum(0), d_y.sum(0), None

torch.manual_seed(0)
args = [torch.randn(size).double().requires_grad_() for size in ((6, 4), 4, 4)] + [1e-5]
for f in (BatchNorm, Constants):
    print(f.__name__, torch.autograd.gradcheck(f.apply, args, raise_exception=False))
