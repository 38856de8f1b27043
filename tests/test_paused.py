"""``collections_paused``: what it leaves of Python's garbage collections."""

from __future__ import annotations

import gc

import pytest

from trtdsl.paused import collections_paused


def test_collections_go_on_afterwards() -> None:
    with collections_paused():
        assert not gc.isenabled()
        with collections_paused():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(KeyError), collections_paused():
        raise KeyError
    assert gc.isenabled()


def test_whoever_turned_them_off_keeps_them_off() -> None:
    gc.disable()
    try:
        with collections_paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
