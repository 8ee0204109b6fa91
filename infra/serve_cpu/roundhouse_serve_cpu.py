"""A vLLM plugin: NVFP4 on the CPU, with vLLM's own emulation of its arithmetic.

vLLM 0.32 knows no NVFP4 kernel for the CPU platform, yet its emulation kernel is plain PyTorch: it
dequantizes the weights, quantizes the activations to NVFP4 and back, and multiplies. So a
checkpoint is served here with the W4A4 numerics of an accelerator that has FP4 units.
"""


def register() -> None:
    """Offer the emulation kernel on the CPU platform; safe to call more than once."""
    from vllm.model_executor.kernels import linear
    from vllm.platforms import PlatformEnum

    kernel = linear.EmulationNvFp4LinearKernel
    if kernel not in linear._POSSIBLE_NVFP4_KERNELS.get(PlatformEnum.CPU, []):  # noqa: SLF001 - the register below has no getter
        linear.register_linear_kernel(kernel, PlatformEnum.CPU, "nvfp4")
