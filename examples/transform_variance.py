import torch

# wrong by half or more, in how many units
def lost(variance, right):
    return f"{((variance - right).abs() > right / 2).float().mean():.0%}"

torch.manual_seed(0)
for mean in (0, 100, 10000):
    # float32; the variance is about 1
    x = mean + torch.randn(60, 1000)
    right = x.double().var(0, correction=0)
    squares = (x ** 2).mean(0) - x.mean(0) ** 2
    deviations = ((x - x.mean(0)) ** 2).mean(0)
    nan = squares.sqrt().isnan().any().item()
    print(f"mean {mean:>5}: {lost(squares, right):>4} from squares (NaN: {nan}),",
          f"{lost(deviations, right)} from deviations")
