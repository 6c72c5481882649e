"""Whether there is a graphics card to train and explain on.

XGBoost takes the processor where it finds no card, and says so in a warning only. Bits of trees and of contributions differ by device, so
who asks for one has to get it.
"""

from __future__ import annotations

import ctypes

from churn_pipeline.core.errors import InputError, RefusedError
from churn_pipeline.core.model_kinds import Device


def ensure_there(device: Device) -> None:
    """Makes sure that a device can be used. Costs nothing for the processor.

    Raises:
        InputError: it cannot; the message says why.
    """
    if device == "cuda" and (problem := _no_card()) is not None:
        raise InputError(f"CHURN_DEVICE is cuda, and {problem}; leave it unset, or run this where the card is")


def ensure_its_own(model: str, device: Device) -> None:
    """Makes sure that a model is read on the device that it was made on.

    Args:
        model: what it is called in the message.
        device: that it was made on.

    Raises:
        RefusedError: that one is not here, and another would give other bits.
    """
    if device == "cuda" and (problem := _no_card()) is not None:
        raise RefusedError(
            f"{model} was trained on {device}, on which it scores too, and {problem}; run this where the card is, or train again with "
            "CHURN_DEVICE=cpu"
        )


def _no_card() -> str | None:
    import xgboost as xgb

    if not xgb.build_info().get("USE_CUDA"):
        return f"this XGBoost ({xgb.__version__}) was built without CUDA"
    return None if _cards() else "there is no GPU here that CUDA can use"


def _cards() -> int:
    """How many cards the driver shows; 0 without a driver. Asked of the driver itself, because XGBoost does not tell."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value
