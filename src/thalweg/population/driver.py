"""The loops over members and steps around a compiled step, for Numba."""

from __future__ import annotations

# What `_job` holds, in this order: see `compiled.Table.job` for the first eight, `passes.py` for the others.
DRIVER = '''
from numba import cfunc as _cfunc, njit as _njit
from thalweg.kernels.memory import call as _call, load_int64 as _load, store_int64 as _store
from thalweg.kernels.memory import load_bool as _load_byte, store_bool as _store_byte
from thalweg.kernels.memory import load_float64 as _load_double, store_float64 as _store_double
from thalweg.kernels.memory import load_float32 as _load_float, store_float32 as _store_float
from thalweg.kernels.memory import control as _control, flush_denormals as _flush_denormals
from numpy import float32 as _float32, float64 as _float64, int8 as _int8, nan as _nan

_compiled = _cfunc("void(int64, int64, int64)", nopython=True, cache=True, error_model="numpy", boundscheck=False)

@_compiled
def each(_job, _first, _last):
    """One step of the members, without an update."""
    _step, _base, _stride, _given = _load(_job, 0, 99), _load(_job, 1, 99), _load(_job, 2, 99), _load(_job, 3, 99)
    _samples, _arena, _count = _load(_job, 4, 99), _load(_job, 5, 99), _load(_job, 7, 99)
    for _m in range(_first, _last):
        for _k in range(_count):
            _store(_given, _k, 99, _load(_base, _k, 99) + _m*_load(_stride, _k, 99))
        _call(_step, _given, _load(_samples, 0, 99), _arena)

@_njit(inline="always")
def _copy(_to, _from, _bytes):
    for _i in range(_bytes):
        _store_byte(_to, _i, 1, _load_byte(_from, _i, 2))

@_njit(inline="always")
def _shrink(_at, _count, _wide, _factor):
    if _wide:
        for _i in range(_count):
            _store_double(_at, _i, 99, _load_double(_at, _i, 99)*_factor)
    else:
        _by = _float32(_factor)
        for _i in range(_count):
            _store_float(_at, _i, 99, _load_float(_at, _i, 99)*_by)

@_njit(inline="always")
def _approach(_at, _end, _count, _wide, _share):
    """The average at `_at` goes by a share of the way to what is at `_end`."""
    if _wide:
        for _i in range(_count):
            _a, _b = _load_double(_at, _i, 1), _load_double(_end, _i, 2)
            _store_double(_at, _i, 1, _a + _share*(_b - _a) if _share < 0.5 else _b - (_b - _a)*(1.0 - _share))
    else:
        _s, _rest, _near = _float32(_share), _float32(1.0) - _float32(_share), _share < 0.5
        for _i in range(_count):
            _a, _b = _load_float(_at, _i, 1), _load_float(_end, _i, 2)
            _store_float(_at, _i, 1, _a + _s*(_b - _a) if _near else _b - (_b - _a)*_rest)

@_njit(inline="always")
def _move(_copies, _copied, _m):
    """The buffers that the model has moved are the member's."""
    for _k in range(_copies):
        _to = _load(_copied, 4*_k + 1, 99) + _m*_load(_copied, 4*_k + 2, 99)
        _copy(_to, _load(_copied, 4*_k, 99), _load(_copied, 4*_k + 2, 99))

@_compiled
def run(_job, _first, _last):
    """All steps of one member after the other: gradients, then the update, until its loss is not finite."""
    _step, _base, _stride, _given = _load(_job, 0, 99), _load(_job, 1, 99), _load(_job, 2, 99), _load(_job, 3, 99)
    _samples, _arena = _load(_job, 4, 99), _load(_job, 5, 99)
    _steps, _count = _load(_job, 6, 99), _load(_job, 7, 99)
    _active, _broken, _sums = _load(_job, 8, 99), _load(_job, 9, 99), _load(_job, 10, 99)
    _loss_at, _wide, _begun = _load(_job, 11, 99), _load(_job, 12, 99), _load(_job, 13, 99)
    _part_of, _parts, _members = _load(_job, 14, 99), _load(_job, 15, 99), _load(_job, 16, 99)
    _tensors, _weights = _load(_job, 17, 99), _load(_job, 18, 99)
    _copies, _copied = _load(_job, 19, 99), _load(_job, 20, 99)
    _factors, _shares = _load(_job, 21, 99), _load(_job, 22, 99)
    _averages, _averaged = _load(_job, 23, 99), _load(_job, 24, 99)
    for _m in range(_first, _last):
        if _load_byte(_active, _m, 99) == 0:
            _store_double(_sums, _m, 99, _nan)
            continue
        _p = _load(_parts, _load(_part_of, _m, 99), 99)
        _r, _rows, _columns = _m - _load(_p, 0, 99), _load(_p, 1, 99), _load(_p, 2, 99)
        _width, _units = _load(_p, 20, 99), _load(_p, 21, 99)
        _first_row, _end_row = _r*_width, (_r + 1)*_width
        _before = _flush_denormals(_load(_p, 27, 99))
        for _s in range(_steps):
            for _h in range(_columns):
                _value = _load_double(_load(_p, 7, 99), (_s*_rows + _r)*_columns + _h, 99)
                _store_double(_load(_p, 8, 99), _r*_columns + _h, 99, _value)
            for _k in range(_count):
                _store(_given, _k, 99, _load(_base, _s*_count + _k, 99) + _m*_load(_stride, _s*_count + _k, 99))
            for _h in range(_first_row, _end_row):
                _store_double(_load(_p, 9, 99), _h, 99, _float64(_begun + _s + 1))
            if _load(_p, 15, 99):
                for _k in range(_tensors):
                    _to, _from = _load(_load(_p, 15, 99), _k, 99), _load(_given, _k, 99)
                    _copy(_to, _from, _load(_weights, 5*_k + 2, 99)*(8 if _load(_weights, 5*_k + 3, 99) else 4))
                    _store(_given, _k, 99, _to)
            if _load(_p, 11, 99):
                _copy(_load(_p, 16, 99), _load(_p, 17, 99), _load(_p, 18, 99))
                for _h in range(_first_row, _end_row):
                    _store_double(_load(_p, 19, 99), _h, 99, _float64(_begun + _s + 1))
                _call(_load(_p, 13, 99), _load(_p, 14, 99), _first_row, _end_row)
                _call(_load(_p, 11, 99), _load(_p, 12, 99), _r*_tensors, (_r + 1)*_tensors)
            _call(_step, _given, _load(_samples, _s, 99), _arena)
            _loss = _load_double(_loss_at, 0, 99) if _wide else _float64(_load_float(_loss_at, 0, 99))
            if not (abs(_loss) < 1e400):
                _store(_broken, _m, 99, _begun + _s)
                _store_byte(_active, _m, 99, _int8(0))
                _store_double(_sums, _m, 99, _nan)
                break
            _store_double(_sums, _m, 99, _load_double(_sums, _m, 99) + _loss)
            _move(_copies, _copied, _m)
            if _load(_p, 22, 99):
                for _h in range(_first_row, _end_row):
                    _store_double(_load(_p, 26, 99), _h, 99, _float64(_begun + _s + 1))
                _call(_load(_p, 24, 99), _load(_p, 25, 99), _first_row, _end_row)
                _call(_load(_p, 22, 99), _load(_p, 23, 99), _r, _r + 1)
                _call(_step, _given, _load(_samples, _s, 99), _arena)
                _move(_copies, _copied, _m)
            if _factors:
                for _k in range(_tensors):
                    _at = _load(_weights, 5*_k, 99) + _m*_load(_weights, 5*_k + 1, 99)
                    _row = (_s*_members + _m)*_width + _load(_weights, 5*_k + 4, 99)
                    _factor = _load_double(_factors, _row, 99)
                    _shrink(_at, _load(_weights, 5*_k + 2, 99), _load(_weights, 5*_k + 3, 99), _factor)
            for _h in range(_first_row, _end_row):
                _store_double(_load(_p, 10, 99), _h, 99, _loss)
            _call(_load(_p, 5, 99), _load(_p, 6, 99), _first_row, _end_row)
            _call(_load(_p, 3, 99), _load(_p, 4, 99), _r*_units, (_r + 1)*_units)
            if _shares:
                _share = _load_double(_shares, _s*_members + _m, 99)
                for _k in range(_averages if _share != 0.0 else 0):
                    _far, _kind = _m*_load(_averaged, 5*_k + 2, 99), _load(_averaged, 5*_k + 4, 99)
                    _at, _end = _load(_averaged, 5*_k, 99) + _far, _load(_averaged, 5*_k + 1, 99) + _far
                    if _kind < 0:
                        _copy(_at, _end, _load(_averaged, 5*_k + 2, 99))
                    else:
                        _approach(_at, _end, _load(_averaged, 5*_k + 3, 99), _kind, _share)
        _control(_before)
'''

# What `_job` holds: see `tensor_updates.TensorUpdates.prepared`.
TENSORS = '''
from numba import cfunc as _cfunc, njit as _njit
from thalweg.kernels.memory import call as _call, load_int64 as _load
from thalweg.kernels.memory import load_bool as _load_byte, store_bool as _store_byte, load_float64 as _load_double

@_njit(inline="always")
def _copy(_to, _from, _bytes):
    for _i in range(_bytes):
        _store_byte(_to, _i, 1, _load_byte(_from, _i, 2))

@_cfunc("void(int64, int64, int64)", nopython=True, cache=True, error_model="numpy", boundscheck=False)
def members(_job, _first, _last):
    """The update of members: into its own room, then in place of what was there before."""
    _programs, _chosen, _arena = _load(_job, 0, 99), _load(_job, 1, 99), _load(_job, 2, 99)
    _active, _width = _load(_job, 3, 99), _load(_job, 4, 99)
    _scalars, _columns = _load(_job, 5, 99), _load(_job, 6, 99)
    _guards, _asked = _load(_job, 7, 99), _load(_job, 8, 99)
    _copies, _copied = _load(_job, 9, 99), _load(_job, 10, 99)
    for _m in range(_first, _last):
        if _load_byte(_active, _m*_width, 99) == 0:
            continue
        _which = 0
        for _k in range(_guards):
            _at = _m*_width*_columns + _load(_asked, _k, 99)
            _which += (1 << _k) if _load_double(_scalars, _at, 99) > 0.5 else 0
        _which = _load(_chosen, _which, 99)
        _call(_load(_programs, 3*_which, 99), _load(_programs, 3*_which + 1, 99)
              + 8*_m*_load(_programs, 3*_which + 2, 99), 1, _arena)
        for _k in range(_copies):
            _to = _load(_copied, 4*_k + 1, 99) + _m*_load(_copied, 4*_k + 3, 99)
            _copy(_to, _load(_copied, 4*_k, 99), _load(_copied, 4*_k + 2, 99))
'''
