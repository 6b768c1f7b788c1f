import math

# all rates so far, in epochs
def total(lr, decay, epochs, steps=351):
    return sum(lr * decay ** (step / steps) for step in range(epochs * steps)) / steps

r = 0.94
# the baseline's, were it trained for ever
limit = 1 / math.log(1 / r)
for name, lr, decay in (("x1", 1, r), ("x5", 5, r**6), ("x30", 30, r**6)):
    print(f"{name:>3}: {total(lr, decay, epochs=300) / limit:.2f} of x1's in all, "
          f"{total(lr, decay, epochs=12) / limit:.2f} after 12 epochs")
