"""Take the calibration set and the quantized weights of an archived release."""
