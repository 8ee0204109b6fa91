"""How fast machines compute and move memory, for the estimate of hours.

Accelerators: dense BF16 rate and memory bandwidth of NVIDIA's data sheets. 798 of the H100's 989
TFLOP/s were measured in large matrix products, so 0.8 of a data sheet's rate is counted on.
Processors: 30 GFLOP/s (FP32) and 5 GB/s a core, which reproduces the 4.9 s a block measured with
AutoRound 0.16.1 on two AVX2 cores (20 iterations, 8 x 128 tokens a step, 1 M parameters a block).
vLLM's start, weights aside: 29 s on two such cores (eager, as the demo serves), and two minutes
allowed on an accelerator, where it compiles and captures graphs.
"""

from dataclasses import dataclass

from tasks.core.records import Hardware

TERA, GIGA = 1e12, 1e9
ACHIEVED = 0.8
CORE_RATE = 30 * GIGA
CORE_BANDWIDTH = 5 * GIGA
CORES_THAT_FILL_MEMORY = 32
CORE_SERVER_START, SERVER_START = 30.0, 120.0


@dataclass(frozen=True)
class Speed:
    """What a device does in a second.

    Attributes:
        rate: floating-point operations in matrix products.
        bandwidth: bytes to and from memory.
        known: whether the device is in the table, or guessed.
        server_start: seconds until vLLM answers, beyond reading the weights.
    """

    rate: float
    bandwidth: float
    known: bool = True
    server_start: float = SERVER_START


SHEETS = {
    # name as the driver spells it: (TFLOP/s, TB/s); the first that matches counts
    "B200": (2250, 8.0),
    "GH200": (989, 4.9),
    "H200": (989, 4.8),
    "H100 PCIe": (756, 2.0),
    "H100": (989, 3.35),
    "A100": (312, 2.0),
    "L40S": (362, 0.86),
    "RTX PRO 6000": (504, 1.79),
    "RTX 5090": (209, 1.79),
    "RTX 4090": (165, 1.0),
    "RTX 3090": (71, 0.94),
    "RTX A6000": (155, 0.77),
    "A10": (125, 0.6),
    "L4": (121, 0.3),
}
UNKNOWN = (100, 0.6)


def speed_of(hardware: Hardware) -> Speed:
    """The speed of the device that will quantize: the accelerator, else the processor."""
    if not hardware.gpu:
        cores = min(hardware.cpus, CORES_THAT_FILL_MEMORY)
        rate, bandwidth = CORE_RATE * hardware.cpus, CORE_BANDWIDTH * cores
        return Speed(rate, bandwidth, server_start=CORE_SERVER_START)
    found = next((sheet for name, sheet in SHEETS.items() if name in hardware.gpu), None)
    tera_rate, tera_bandwidth = found or UNKNOWN
    return Speed(tera_rate * TERA * ACHIEVED, tera_bandwidth * TERA, known=found is not None)
