#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
vector_add.py: the smallest program of another language that makes an NPU compute.

The same as vector_add.c, through ctypes: libsnpu exports its packet encoders too, so a binding
needs no C compiler and encodes nothing itself.
"""
import array
import ctypes
import sys

COUNT = 1000000
BYTES = 4 * COUNT
SNPU_MEM_HBM, SNPU_MEM_HOST = 1, 2      # snpu.h
SNPU_ELT_ADD, SNPU_DT_F32 = 0, 1        # snpu_hw.h
SNPU_FOREVER = 2**64 - 1

u32, u64, ptr = ctypes.c_uint32, ctypes.c_uint64, ctypes.c_void_p
lib = ctypes.CDLL("libsnpu.so.1")


class SnpuError(Exception):
    """A call failed; libsnpu has said why."""


def function(name, *args, result=ctypes.c_int):
    """The function of libsnpu; one that returns a negative errno raises SnpuError."""
    f = getattr(lib, name)
    f.argtypes, f.restype = args, result

    def check(ret, _func, _args):
        if ret < 0:
            raise SnpuError(f"{name}: {last_error().decode()}")
        return ret

    if result is ctypes.c_int:
        f.errcheck = check
    return f


last_error = function("snpu_last_error", result=ctypes.c_char_p)
snpu_open = function("snpu_open", ptr, ctypes.POINTER(ptr))
snpu_close = function("snpu_close", ptr)
ctx_create = function("snpu_ctx_create", ptr, ctypes.c_uint, ctypes.POINTER(ptr))
ctx_destroy = function("snpu_ctx_destroy", ptr)
queue_create = function("snpu_queue_create", ptr, ptr, ctypes.POINTER(ptr))
queue_destroy = function("snpu_queue_destroy", ptr)
queue_get = function("snpu_queue_get", ptr, result=ptr)
queue_submit = function("snpu_queue_submit", ptr, ctypes.POINTER(u64))
queue_wait = function("snpu_queue_wait", ptr, u64, u64)
mem_alloc = function("snpu_mem_alloc", ptr, u64, ctypes.c_uint, ctypes.POINTER(ptr))
mem_free = function("snpu_mem_free", ptr)
mem_va = function("snpu_mem_va", ptr, result=u64)
mem_map = function("snpu_mem_map", ptr, ctypes.POINTER(ptr))
prep_copy = function("snpu_prep_copy", ptr, u64, u64, u64, result=None)
prep_eltwise = function("snpu_prep_eltwise", ptr, ctypes.c_uint, ctypes.c_uint, u64, u64, u64, u64,
                        result=None)


def made(create, *args):
    """What a call gives through its last argument."""
    out = ptr()
    create(*args, ctypes.byref(out))
    return out


def main():
    snpu = made(snpu_open, None)
    ctx = made(ctx_create, snpu, 0)
    queue = made(queue_create, ctx, None)
    host = made(mem_alloc, ctx, 3 * BYTES, SNPU_MEM_HOST)
    hbm = made(mem_alloc, ctx, 3 * BYTES, SNPU_MEM_HBM)
    view = (ctypes.c_float * (3 * COUNT)).from_address(made(mem_map, host).value)

    a = array.array("f", range(COUNT))
    b = array.array("f", (0.5 * (i % 1000) for i in range(COUNT)))
    view[:COUNT], view[COUNT:2 * COUNT] = a, b

    h, d = mem_va(host), mem_va(hbm)
    prep_copy(queue_get(queue), d, h, 2 * BYTES)
    prep_eltwise(queue_get(queue), SNPU_ELT_ADD, SNPU_DT_F32, d + 2 * BYTES, d, d + BYTES, COUNT)
    prep_copy(queue_get(queue), h + 2 * BYTES, d + 2 * BYTES, BYTES)
    position = u64()
    queue_submit(queue, ctypes.byref(position))
    queue_wait(queue, position, SNPU_FOREVER)

    want = array.array("f", map(float.__add__, a, b))
    if array.array("f", view[2 * COUNT:]) != want:
        sys.exit("vector_add.py: wrong sums")
    queue_destroy(queue)
    mem_free(hbm)
    mem_free(host)
    ctx_destroy(ctx)
    snpu_close(snpu)
    print(f"vector_add.py: {COUNT} sums on one NPU, all right")


main()
