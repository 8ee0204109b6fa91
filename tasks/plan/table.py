"""The plan for people."""

from tasks.core.records import Estimate, Hardware
from tasks.plan.speed import speed_of

Rows = list[tuple[str, str]]


def estimate_rows(estimate: Estimate, hardware: Hardware) -> Rows:
    """What a release takes, as names and values."""
    share = estimate.quantized_parameters / max(estimate.parameters, 1)
    return [
        ("base", gb(estimate.base)),
        ("release", f"{gb(estimate.release)} ({estimate.release / max(estimate.base, 1):.0%})"),
        ("parameters", f"{millions(estimate.parameters)}, of which {share:.0%} are quantized"),
        ("layers", f"{estimate.quantized_modules} in {estimate.blocks} blocks"),
        ("VRAM", f"about {gb(estimate.vram)}" if hardware.gpu else "none: the processor is used"),
        ("memory", f"about {gb(estimate.ram)}"),
        ("disk", f"about {gb(estimate.disk)}"),
        ("time", f"about {duration(estimate.hours)}, an estimate that may be off by half"),
        ("gate", gate(estimate)),
        ("machine", machine(hardware)),
    ]


def gate(estimate: Estimate) -> str:
    """How much of the time measures quality, or that nothing does."""
    hours = estimate.seconds.get("validate", 0.0) / 3600
    if not hours:
        return "none: quality is not measured, and the target must be private"
    share = hours / estimate.hours
    return f"about {duration(hours)} of that ({share:.0%}), with all texts compared"


def machine(hardware: Hardware) -> str:
    """The machine in one line."""
    parts = [f"{hardware.cpus} processors", f"{gb(hardware.ram)} memory"]
    parts.append(f"{gb(hardware.disk_free)} disk free")
    if hardware.gpu:
        guessed = "" if speed_of(hardware).known else ", speed guessed"
        parts.append(f"{hardware.gpus} x {hardware.gpu} ({gb(hardware.vram)}{guessed})")
    return ", ".join(parts)


def gb(count: int) -> str:
    """Bytes in GB (10^9), or in MB where that reads better."""
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"  # noqa: PLR2004


def millions(parameters: int) -> str:
    """A number of parameters, as 31.3 B or 10.6 M."""
    billions = parameters >= 1e9  # noqa: PLR2004
    return f"{parameters / 1e9:.1f} B" if billions else f"{parameters / 1e6:.1f} M"


def duration(hours: float) -> str:
    """Hours as people say them."""
    if hours < 1:
        return f"{max(1, round(hours * 60))} minutes"
    return f"{hours:.1f} hours" if hours < 100 else f"{hours / 24:.0f} days"  # noqa: PLR2004


def markdown(title: str, rows: Rows) -> str:
    """A table in Markdown."""
    lines = [f"| {name} | {value.replace('|', chr(92) + '|')} |" for name, value in rows]
    return "\n".join([f"# {title}", "", "| | |", "|---|---|", *lines, ""])
