"""Host memory of processes that quantize."""

HUGE_PAGES = {"THP_MEM_ALLOC_ENABLE": "1"}
"""Lets torch ask for huge pages: fresh memory for a block's scales and packed weights then costs a
fault each 2 MB and not each 4 KB. torch reads it when it makes its first tensor."""
