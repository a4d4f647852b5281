//! Memory asked for before it is needed. Calls lie anywhere, and a packet's call has not been looked
//! at for 20 ms: without this, handling a packet is mostly waiting for memory.

/// Asks for all of a value. Where the processor is not known, nothing happens.
pub fn prefetch<T>(value: &T) {
    prefetch_all(std::slice::from_ref(value));
}

/// Asks for all of the values.
#[cfg(target_arch = "x86_64")]
pub fn prefetch_all<T>(values: &[T]) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

    let begin = values.as_ptr().cast::<i8>();
    let into_line = begin.addr() % LINE;
    let first = begin.wrapping_sub(into_line);
    for line in 0..(into_line + size_of_val(values)).div_ceil(LINE) {
        // SAFETY: a hint, which may name any address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(first.wrapping_add(line * LINE)) };
    }
}

#[cfg(not(target_arch = "x86_64"))]
pub fn prefetch_all<T>(_: &[T]) {}

/// Bytes that memory hands over at once.
#[cfg(target_arch = "x86_64")]
const LINE: usize = 64;
