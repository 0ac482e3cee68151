//! Tensors in recycled blocks.

use flora_kernels::memory::Recycler;

#[global_allocator]
static MEMORY: Recycler = Recycler::new();

/// Large enough to be kept, in bytes.
const LARGE: usize = 1 << 20;

#[test]
fn blocks_are_used_again_and_hold_what_was_written() {
    let first = vec![1u8; LARGE];
    let address = first.as_ptr();
    drop(first);
    let second = vec![2u8; LARGE - 100];
    assert_eq!(second.as_ptr(), address, "the block that was just given back");
    assert!(second.iter().all(|&byte| byte == 2));
    let third = vec![3u8; LARGE];
    assert_ne!(third.as_ptr(), address, "the block is taken");
    assert!(second.iter().all(|&byte| byte == 2));
    drop((second, third));

    // Memory that is requested cleared is cleared, even if it was written to before.
    let cleared = vec![0u8; LARGE];
    assert!(cleared.iter().all(|&byte| byte == 0));

    // Growing keeps the content: below the limit, over it, within a block, and beyond it.
    let mut growing: Vec<u8> = Vec::new();
    for number in 0..(3 * LARGE) {
        growing.push((number % 251) as u8);
    }
    assert!(growing.iter().enumerate().all(|(number, &byte)| byte == (number % 251) as u8));
    growing.truncate(1000);
    growing.shrink_to_fit();
    assert!(growing.iter().enumerate().all(|(number, &byte)| byte == (number % 251) as u8));

    // Blocks that came from one thread and go back in another.
    let vectors: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let threads = (0..8u8)
            .map(|number| scope.spawn(move || vec![number; LARGE + 5000 * usize::from(number)]));
        threads.collect::<Vec<_>>().into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (number, vector) in vectors.into_iter().enumerate() {
        assert!(vector.iter().all(|&byte| usize::from(byte) == number));
    }

    MEMORY.release();
    let aligned = vec![0f32; LARGE];
    assert_eq!(aligned.as_ptr() as usize % 64, 0);
}
