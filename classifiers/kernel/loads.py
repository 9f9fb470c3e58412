"""The few machine operations that Numba has no name for, as LLVM: wide loads, prefetch, masks, a high product."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from pipeline.compiled.stage import machine_operation

_BYTES = 64
_VECTOR = ir.VectorType(ir.IntType(8), _BYTES)


@machine_operation
def load64(_context: Any, data: Any, index: Any) -> Any:
    """The 8 bytes at ``data[index:]``, little-endian, not aligned; the caller keeps within the buffer."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        pointer = builder.gep(array.data, [arguments[1]])
        return builder.load(builder.bitcast(pointer, ir.IntType(64).as_pointer()), align=1)

    return types.uint64(data, index), generate


def _load_bytes(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """64 bytes as a vector."""
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    pointer = builder.gep(array.data, [arguments[1]])
    return builder.load(builder.bitcast(pointer, _VECTOR.as_pointer()), align=1)


def _splat(value: int) -> Any:
    return ir.Constant(_VECTOR, [value] * _BYTES)


@machine_operation
def separator_mask(_context: Any, data: Any, index: Any) -> Any:
    """64 bits, one for each of the bytes ``data[index:index + 64]``: set where fastText cuts words.

    Its separators are space, newline, return, tab, vertical tab, form feed (9 to 13 and 32) and NUL.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        text = _load_bytes(context, builder, signature, arguments)
        blank = builder.or_(builder.icmp_unsigned("==", text, _splat(32)), builder.icmp_unsigned("==", text, _splat(0)))
        control = builder.icmp_unsigned("<", builder.sub(text, _splat(9)), _splat(5))
        return builder.bitcast(builder.or_(blank, control), ir.IntType(64))

    return types.uint64(data, index), generate


@machine_operation
def plain_separator_mask(_context: Any, data: Any, index: Any) -> Any:
    """As `separator_mask`, set for each ASCII byte that is neither a letter nor a digit."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        text = _load_bytes(context, builder, signature, arguments)
        small = builder.or_(text, _splat(0x20))
        letter = builder.icmp_unsigned("<", builder.sub(small, _splat(ord("a"))), _splat(26))
        digit = builder.icmp_unsigned("<", builder.sub(text, _splat(ord("0"))), _splat(10))
        kept = builder.or_(builder.or_(letter, digit), builder.icmp_unsigned(">=", text, _splat(0x80)))
        return builder.bitcast(builder.not_(kept), ir.IntType(64))

    return types.uint64(data, index), generate


@machine_operation
def byte_mask(_context: Any, data: Any, index: Any, byte: Any) -> Any:
    """64 bits, set where ``data[index:index + 64]`` is ``byte`` (uint8)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        text = _load_bytes(context, builder, signature, arguments)
        lane = ir.Constant(ir.IntType(32), 0)
        one = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), arguments[2], lane)
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), _BYTES), [0] * _BYTES)
        same = builder.icmp_unsigned("==", text, builder.shuffle_vector(one, one, zeros))
        return builder.bitcast(same, ir.IntType(64))

    return types.uint64(data, index, types.uint8), generate


@machine_operation
def continuation_mask(_context: Any, data: Any, index: Any) -> Any:
    """64 bits, set where a byte of ``data[index:index + 64]`` goes on with a code point of UTF-8 (0x80 to 0xBF)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        text = _load_bytes(context, builder, signature, arguments)
        return builder.bitcast(builder.icmp_signed("<", text, _splat(0xC0)), ir.IntType(64))

    return types.uint64(data, index), generate


@machine_operation
def set_bits(_context: Any, value: Any) -> Any:
    """How many bits of a uint64 are set."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), generate


@machine_operation
def code_points64(_context: Any, data: Any, index: Any) -> Any:
    """How many of the bytes ``data[index:index + 64]`` begin a code point of UTF-8."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        text = _load_bytes(context, builder, signature, arguments)
        begins = builder.icmp_unsigned("!=", builder.and_(text, _splat(0xC0)), _splat(0x80))
        return builder.ctpop(builder.bitcast(begins, ir.IntType(64)))

    return types.int64(data, index), generate


@machine_operation
def prefetch(_context: Any, data: Any, index: Any) -> Any:
    """Ask for the memory at ``data[index]`` without waiting for it; any index is harmless."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        pointer = builder.bitcast(builder.gep(array.data, [arguments[1]]), ir.IntType(8).as_pointer())
        number = ir.IntType(32)
        signature = ir.FunctionType(ir.VoidType(), [pointer.type, number, number, number])
        operation = builder.module.declare_intrinsic("llvm.prefetch", [pointer.type], signature)
        read, second_level, is_data = ir.Constant(number, 0), ir.Constant(number, 2), ir.Constant(number, 1)
        builder.call(operation, [pointer, read, second_level, is_data])
        return context.get_dummy_value()

    return types.void(data, index), generate


def _adder(lanes: int) -> Any:
    """A machine operation on so many neighbouring numbers."""

    @machine_operation
    def add(_context: Any, sums: Any, at: Any, a: Any, i: Any, b: Any, j: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            def place(k: int, number: Any) -> Any:
                array = context.make_array(signature.args[k])(context, builder, arguments[k])
                pointer = builder.gep(array.data, [arguments[k + 1]])
                return builder.bitcast(pointer, ir.VectorType(number, lanes).as_pointer())

            wide = ir.VectorType(ir.DoubleType(), lanes)
            first, second = (builder.fpext(builder.load(place(k, ir.FloatType()), align=4), wide) for k in (2, 4))
            total = place(0, ir.DoubleType())
            together = builder.fadd(builder.load(total, align=8), builder.fadd(first, second))
            builder.store(together, total, align=8)
            return context.get_dummy_value()

        return types.void(sums, at, a, i, b, j), generate

    return add


add_two, add_four = _adder(2), _adder(4)
"""``sums[at + k] += float64(a[i + k]) + float64(b[j + k])`` for two or four ``k``; sums float64, the others float32.
Numba leaves it to scalars."""


@machine_operation
def high_product(_context: Any, a: Any, b: Any) -> Any:
    """The upper 64 bits of the 128-bit product of two uint64."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        wide = ir.IntType(128)
        product = builder.mul(builder.zext(arguments[0], wide), builder.zext(arguments[1], wide))
        return builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), ir.IntType(64))

    return types.uint64(types.uint64, types.uint64), generate


@machine_operation
def trailing_zeros(_context: Any, value: Any) -> Any:
    """Number of zero bits below the lowest set bit of a uint64; 64 if it is zero."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), generate
