//! A global allocator that keeps large freed blocks for the next tensor of their size.
//!
//! Every operation on tensors allocates its result and soon frees it. General allocators return blocks of megabytes to
//! the system at once, which clears each page again when it is next touched: this takes a quarter of the time of
//! encoding texts. The steps of training ask for the same sizes again and again, so that a list of free blocks serves
//! nearly all of them.
//!
//! ```no_run
//! use flora_kernels::memory::Recycler;
//!
//! #[global_allocator]
//! static MEMORY: Recycler = Recycler::new();
//! # fn main() {}
//! ```
//!
//! Large blocks in use and kept blocks together never exceed the peak of blocks in use since the start or the last
//! [`Recycler::release`]. The overhead over a plain allocator's peak is the rounding of sizes, a sixteenth at most, and
//! small blocks that are needed while large ones are kept.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Smaller blocks, in bytes, are left to the system's allocator.
const LARGE: usize = 256 << 10;
/// So are larger ones, in bytes, which do not occur.
const LARGEST: usize = 1 << (usize::BITS - 3);
/// The alignment of kept blocks: a cache line, and the widest vector.
const ALIGNMENT: usize = 64;
/// The largest number of kept blocks.
const PLACES: usize = 1024;

/// The system's allocator with a list of large blocks for reuse.
///
/// See the [module](self) for its purpose. Results do not depend on it.
pub struct Recycler {
    shelf: Mutex<Shelf>,
}

struct Shelf {
    /// Oldest first; only the first `count` are valid.
    blocks: [Block; PLACES],
    count: usize,
    /// Bytes of the large blocks in use, of the kept ones, and the highest number of bytes ever in use at once.
    used: usize,
    kept: usize,
    most: usize,
}

#[derive(Debug, Clone, Copy)]
struct Block {
    address: usize,
    size: usize,
}

impl Recycler {
    /// An allocator without kept blocks.
    pub const fn new() -> Self {
        let blocks = [Block { address: 0, size: 0 }; PLACES];
        Self { shelf: Mutex::new(Shelf { blocks, count: 0, used: 0, kept: 0, most: 0 }) }
    }

    /// Returns every kept block to the system, and resets the recorded peak: call it at the end of a phase that needed
    /// more memory than those after it. Small blocks kept by the system's allocator are returned, too.
    pub fn release(&self) {
        self.shelf().most = 0;
        self.shrink();
        trim();
    }

    /// Returns blocks until blocks in use and kept blocks together do not exceed the peak.
    fn shrink(&self) {
        loop {
            // Without holding the lock, since the system may take a while.
            let Some(block) = self.shelf().surplus() else { return };
            block.free();
        }
    }

    /// A new block of this size, which `used` includes already.
    fn new_block(&self, size: usize) -> *mut u8 {
        self.shrink();
        // SAFETY: the size is not zero.
        let mut block = unsafe { System.alloc(layout_of(size)) };
        if block.is_null() {
            self.release();
            // SAFETY: as above.
            block = unsafe { System.alloc(layout_of(size)) };
        }
        let mut shelf = self.shelf();
        if block.is_null() {
            shelf.used -= size;
        } else {
            shelf.most = shelf.most.max(shelf.used);
        }
        block
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        // No code below panics while it holds the lock.
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Recycler {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Shelf { count, used, kept, most, .. } = *self.shelf();
        let figures = [("blocks", count), ("used", used), ("kept", kept), ("most", most)];
        let mut fields = formatter.debug_struct("Recycler");
        figures.iter().for_each(|(name, value)| {
            fields.field(name, value);
        });
        fields.finish()
    }
}

impl Default for Recycler {
    fn default() -> Self {
        Self::new()
    }
}

impl Shelf {
    /// A kept block of this size, now in use, as a new one would be.
    fn take(&mut self, size: usize) -> Option<*mut u8> {
        self.used += size;
        // The last one is the most likely to be in the processor's cache.
        if let Some(place) = self.blocks[..self.count].iter().rposition(|block| block.size == size)
        {
            let block = self.remove(place);
            return Some(std::ptr::with_exposed_provenance_mut(block.address));
        }
        None
    }

    /// Keeps a block that is no longer used; returns the block that had to make room.
    fn put(&mut self, address: *mut u8, size: usize) -> Option<Block> {
        self.used -= size;
        let displaced = (self.count == PLACES).then(|| self.remove(0));
        self.blocks[self.count] = Block { address: address.expose_provenance(), size };
        self.count += 1;
        self.kept += size;
        displaced
    }

    /// A block in excess of the limit.
    fn surplus(&mut self) -> Option<Block> {
        (self.kept > 0 && self.used + self.kept > self.most).then(|| self.remove(0))
    }

    fn remove(&mut self, place: usize) -> Block {
        let block = self.blocks[place];
        self.blocks.copy_within(place + 1..self.count, place);
        self.count -= 1;
        self.kept -= block.size;
        block
    }
}

impl Block {
    fn free(self) {
        let address = std::ptr::with_exposed_provenance_mut(self.address);
        // SAFETY: `alloc` got every block on the shelf from `System` with this layout, and nobody uses it.
        unsafe { System.dealloc(address, layout_of(self.size)) }
    }
}

/// glibc keeps freed memory between blocks that are still in use, in one arena per thread; all tensors of a small model
/// are there.
fn trim() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        unsafe extern "C" {
            fn malloc_trim(pad: usize) -> std::ffi::c_int;
        }
        // SAFETY: it only gives unused pages back, and may be called at any time from any thread.
        let _ = unsafe { malloc_trim(0) };
    }
}

/// The layout of kept blocks, by their size.
fn layout_of(size: usize) -> Layout {
    // SAFETY: the alignment is a power of two, and `size_of_block` keeps to what a layout may have.
    unsafe { Layout::from_size_align_unchecked(size, ALIGNMENT) }
}

/// The size of a block that serves `layout`: at most a sixteenth more. `None` if the system's allocator handles it
/// alone.
fn size_of_block(layout: Layout) -> Option<usize> {
    let size = layout.size();
    if !(LARGE..=LARGEST).contains(&size) || layout.align() > ALIGNMENT {
        return None;
    }
    Some(size.next_multiple_of(1 << (size.ilog2() - 4)))
}

// SAFETY: a block comes from `System` with a layout that serves the one that was asked for, or from
// the shelf, where blocks of just that layout lie that nobody uses. Whether a block is large, and the
// layout it was allocated with, follow from the layout that callers give, which is the same in `dealloc`.
unsafe impl GlobalAlloc for Recycler {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(size) = size_of_block(layout) else {
            // SAFETY: the caller's promises are those that `System` asks for.
            return unsafe { System.alloc(layout) };
        };
        let kept = self.shelf().take(size);
        kept.unwrap_or_else(|| self.new_block(size))
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if size_of_block(layout).is_none() {
            // SAFETY: the caller's promises are those that `System` asks for.
            return unsafe { System.alloc_zeroed(layout) };
        }
        // SAFETY: as above; the block is valid for as many bytes.
        unsafe {
            let block = self.alloc(layout);
            if !block.is_null() {
                block.write_bytes(0, layout.size());
            }
            block
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match size_of_block(layout) {
            Some(size) => {
                let displaced = self.shelf().put(block, size);
                if let Some(block) = displaced {
                    block.free();
                }
            }
            // SAFETY: `System` allocated it with this layout.
            None => unsafe { System.dealloc(block, layout) },
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller promises that the new size makes a layout.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        match (size_of_block(layout), size_of_block(new_layout)) {
            // SAFETY: `System` allocated it with this layout, and is asked for a block of its own again.
            (None, None) => return unsafe { System.realloc(block, layout, new_size) },
            (Some(size), Some(new_size)) if size == new_size => return block,
            _ => {}
        }
        // SAFETY: the new size is not zero, as the caller promises.
        let new_block = unsafe { self.alloc(new_layout) };
        if !new_block.is_null() {
            // SAFETY: both are valid for as many bytes, and are different blocks; the old one has this layout.
            unsafe {
                std::ptr::copy_nonoverlapping(block, new_block, layout.size().min(new_size));
                self.dealloc(block, layout);
            }
        }
        new_block
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, 4).unwrap()
    }

    /// Blocks of any size, in any order, from several threads: the allocator never keeps more than was in use.
    #[test]
    fn no_more_is_kept_than_was_in_use() {
        let memory = Recycler::new();
        std::thread::scope(|scope| {
            for thread in 1..4usize {
                let memory = &memory;
                scope.spawn(move || {
                    let mut held: Vec<(usize, Layout)> = Vec::new();
                    let mut random = thread * 7919;
                    for _ in 0..2_000 {
                        random =
                            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
                        let number = random >> 33;
                        if held.len() > 20 || (number % 3 == 0 && !held.is_empty()) {
                            let (address, layout) = held.swap_remove(number % held.len());
                            // SAFETY: `alloc` gave it with this layout, and it is not used again.
                            unsafe {
                                memory
                                    .dealloc(std::ptr::with_exposed_provenance_mut(address), layout)
                            };
                        } else {
                            let layout = layout(LARGE + number % (4 * LARGE));
                            // SAFETY: the size is not zero.
                            let block = unsafe { memory.alloc(layout) };
                            held.push((block.expose_provenance(), layout));
                        }
                    }
                    for (address, layout) in held {
                        // SAFETY: as above.
                        unsafe {
                            memory.dealloc(std::ptr::with_exposed_provenance_mut(address), layout)
                        };
                    }
                });
            }
        });
        {
            let shelf = memory.shelf();
            let blocks = &shelf.blocks[..shelf.count];
            assert_eq!(shelf.used, 0);
            assert_eq!(shelf.kept, blocks.iter().map(|block| block.size).sum::<usize>());
            assert!(shelf.kept > 0 && shelf.kept <= shelf.most, "{} of {}", shelf.kept, shelf.most);
        }
        memory.release();
        assert_eq!(format!("{memory:?}"), "Recycler { blocks: 0, used: 0, kept: 0, most: 0 }");
    }

    #[test]
    fn what_cannot_be_had_leaves_the_limit_as_it_was() {
        let memory = Recycler::new();
        // SAFETY: the sizes are not zero, and the block is given back with its layout.
        unsafe {
            let block = memory.alloc(layout(LARGE));
            assert!(memory.alloc(layout(1 << 60)).is_null());
            memory.dealloc(block, layout(LARGE));
        }
        assert!(memory.shelf().most <= 2 * LARGE);
        assert_eq!(memory.shelf().used, 0);
        memory.release();
    }

    /// Every size has a block of at least that many bytes, and at most a sixteenth more.
    #[test]
    fn blocks_fit() {
        for size in [LARGE, LARGE + 1, 3 * LARGE - 1, 5 * LARGE + 12_345, LARGEST] {
            let block = size_of_block(layout(size)).unwrap();
            assert!(block >= size && block - size <= size / 16, "{size}: {block}");
        }
        assert_eq!(size_of_block(layout(LARGE - 1)), None);
        assert_eq!(size_of_block(Layout::from_size_align(LARGE, 4096).unwrap()), None);
    }
}
