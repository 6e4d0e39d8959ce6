"""Tune small, transfer large: predictive coding on handwritten digits, from Python."""

import widthwise as ww

table = ww.parameterization("mup", algorithm="pc", gamma_bar=0, optimizer="sgd")
build = lambda width, key: ww.mlp(64, width, 10, depth=3, activation="tanh", table=table, key=key)
# At precision 1 the curvature of inference still falls at these widths, and every slope and best rate carries that.
pc = ww.PredictiveCoding(ww.ErrorDescent(iterations=4), output_precision=1 / 16)
print(ww.coordinate_check(build, pc, table, widths=[64, 128, 256, 512]))
result = ww.transfer(build, pc, table, data=ww.data.digits(), widths=[64, 128, 256, 512], log2_rates=(-1, 6, 0.5))
print(result.summary())
result.plot("transfer.png")
