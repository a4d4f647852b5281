//! Buffers that the kernel fills as packets come: a ring of them that is its own until a completion
//! names one, and ours until it is given back (io_uring_register_buf_ring(3)).

use std::alloc::{Layout, alloc, handle_alloc_error};
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

/// Packets that can have come and are not handled yet. With none left the kernel stops taking
/// them, and they wait in their sockets.
pub const COUNT: u16 = 1024;
/// A header of the kernel's, an address, and a datagram as long as Ethernet carries, or of 200 ms at
/// 64 kbit/s, which is the longest that a receiver should accept (RFC 3551 §4.2). An odd number of
/// cache lines: the heads of all buffers do not fall into the same few sets of the cache.
pub const LENGTH: usize = 27 * 64;
/// Of the ring that names the buffers: what `mmap` would give.
const PAGE: usize = 4096;

pub struct Buffers {
    group: u16,
    ring: NonNull<BufRingEntry>,
    data: NonNull<u8>,
    tail: u16,
}

// The memory belongs to this value alone; the kernel writes to it on behalf of the thread that
// enters the ring, which is the one that has this value.
unsafe impl Send for Buffers {}

impl Buffers {
    /// Hands all buffers to the kernel.
    pub fn register(submitter: &Submitter<'_>, group: u16) -> io::Result<Self> {
        let mut buffers = Self {
            group,
            ring: allocate(ring_layout()).cast(),
            data: allocate(data_layout()),
            tail: 0,
        };
        // Touched once now, so that no packet waits for a page.
        // SAFETY: both were allocated with this length.
        unsafe {
            buffers
                .ring
                .cast::<u8>()
                .write_bytes(0, ring_layout().size());
            buffers.data.write_bytes(0, data_layout().size());
            submitter.register_buf_ring_with_flags(
                buffers.ring.as_ptr() as u64,
                COUNT,
                buffers.group,
                0,
            )?;
        }
        for buffer in 0..COUNT {
            buffers.put(buffer);
        }
        buffers.publish();
        Ok(buffers)
    }

    /// What the kernel wrote into a buffer that a completion named.
    pub fn filled(&mut self, buffer: u16, length: usize) -> &mut [u8] {
        let place = usize::from(buffer % COUNT) * LENGTH;
        // SAFETY: within the allocation, initialised by `register`, and the kernel does not write
        // to a buffer between naming it and getting it back, which takes `&mut self`.
        unsafe { std::slice::from_raw_parts_mut(self.data.as_ptr().add(place), length.min(LENGTH)) }
    }

    /// Gives a buffer back.
    pub fn give_back(&mut self, buffer: u16) {
        self.put(buffer % COUNT);
        self.publish();
    }

    fn put(&mut self, buffer: u16) {
        let place = usize::from(self.tail % COUNT);
        // SAFETY: within the ring; the kernel does not read an entry at or behind the tail.
        let entry = unsafe { self.ring.add(place).as_mut() };
        let data = self.data.as_ptr() as u64;
        entry.set_addr(data + usize::from(buffer) as u64 * LENGTH as u64);
        entry.set_len(LENGTH as u32);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
    }

    fn publish(&self) {
        // SAFETY: the tail lies within the first entry, and is aligned as the interface has it.
        let tail =
            unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.ring.as_ptr()).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }

    /// Frees the memory.
    ///
    /// # Safety
    /// The kernel has let go of it: no request of the ring is left that might write to it.
    pub unsafe fn free(self) {
        // SAFETY: allocated with these layouts; the rest is the caller's promise.
        unsafe {
            std::alloc::dealloc(self.ring.as_ptr().cast(), ring_layout());
            std::alloc::dealloc(self.data.as_ptr(), data_layout());
        }
    }
}

const fn ring_layout() -> Layout {
    let size = COUNT as usize * size_of::<BufRingEntry>();
    match Layout::from_size_align(size, PAGE) {
        Ok(layout) => layout,
        Err(_) => panic!("a page is a power of two"),
    }
}

const fn data_layout() -> Layout {
    match Layout::from_size_align(COUNT as usize * LENGTH, PAGE) {
        Ok(layout) => layout,
        Err(_) => panic!("a page is a power of two"),
    }
}

fn allocate(layout: Layout) -> NonNull<u8> {
    // SAFETY: neither layout is empty.
    let memory = unsafe { alloc(layout) };
    NonNull::new(memory).unwrap_or_else(|| handle_alloc_error(layout))
}
