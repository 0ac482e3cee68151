//! A global allocator that keeps large blocks for the next tensor of their size.
//!
//! Every operation on tensors allocates its result and soon gives it back. General allocators return blocks of
//! megabytes to the system at once, which clears each page anew when it is next touched: a fifth of the
//! time of an encoder. The steps of training ask for the same sizes again and again, so that a list of
//! free blocks serves nearly all of them.
//!
//! ```no_run
//! use flora_kernels::memory::Recycler;
//!
//! #[global_allocator]
//! static MEMORY: Recycler = Recycler::new();
//! # fn main() {}
//! ```
//!
//! It never makes a program's peak larger: the blocks in use and those kept are together no more than
//! the most that was in use at once.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Smaller blocks are the system allocator's business, in bytes.
const LARGE: usize = 256 << 10;
/// Larger ones too, in bytes: there are none.
const LARGEST: usize = 1 << (usize::BITS - 3);
/// Of every kept block: a line of the cache, and the widest vector.
const ALIGNMENT: usize = 64;
/// Blocks kept at most.
const PLACES: usize = 1024;

/// The system's allocator, and a shelf of large blocks that wait to be used again.
///
/// See the [module](self) for what it is for. Results do not depend on it.
#[derive(Debug)]
pub struct Recycler {
    shelf: Mutex<Shelf>,
}

#[derive(Debug)]
struct Shelf {
    /// From the one that waits longest; the first `count` are meant.
    blocks: [Block; PLACES],
    count: usize,
    /// Bytes of the large blocks in use, of those on the shelf, and the most ever in use at once.
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
    /// An allocator with nothing kept.
    pub const fn new() -> Self {
        let blocks = [Block { address: 0, size: 0 }; PLACES];
        Self { shelf: Mutex::new(Shelf { blocks, count: 0, used: 0, kept: 0, most: 0 }) }
    }

    /// Gives every kept block back to the system, as before a long wait.
    pub fn release(&self) {
        self.shelf().shrink_to(0);
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        // Nothing below panics while it holds the lock.
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Recycler {
    fn default() -> Self {
        Self::new()
    }
}

impl Shelf {
    /// A kept block of this size, or room for a new one.
    fn take(&mut self, size: usize) -> Option<*mut u8> {
        self.used += size;
        self.most = self.most.max(self.used);
        // The last one is the likeliest to be in the processor's cache.
        if let Some(place) = self.blocks[..self.count].iter().rposition(|block| block.size == size)
        {
            let block = self.remove(place);
            return Some(std::ptr::with_exposed_provenance_mut(block.address));
        }
        self.shrink_to(self.most - self.used);
        None
    }

    /// Puts a block that is no longer used on the shelf.
    fn put(&mut self, address: *mut u8, size: usize) {
        self.used -= size;
        if self.count == PLACES {
            let block = self.remove(0);
            block.free();
        }
        self.blocks[self.count] = Block { address: address.expose_provenance(), size };
        self.count += 1;
        self.kept += size;
    }

    /// Gives blocks back until no more than so many bytes are kept.
    fn shrink_to(&mut self, bytes: usize) {
        while self.kept > bytes {
            let block = self.remove(0);
            block.free();
        }
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

/// The layout of kept blocks, by their size.
fn layout_of(size: usize) -> Layout {
    // SAFETY: the alignment is a power of two, and `size_of_block` keeps to what a layout may have.
    unsafe { Layout::from_size_align_unchecked(size, ALIGNMENT) }
}

/// What a block that serves `layout` is as large as: a sixteenth more at most. `None` where
/// the system's allocator does that alone.
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
        if let Some(block) = self.shelf().take(size) {
            return block;
        }
        // SAFETY: the size is not zero.
        let block = unsafe { System.alloc(layout_of(size)) };
        if block.is_null() {
            self.shelf().used -= size;
        }
        block
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
            Some(size) => self.shelf().put(block, size),
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
