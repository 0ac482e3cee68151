//! The graph of neighbours: a Harary graph on a ring of all clients in random order (Bell et al. 2020, section 3.3).

use chacha20::{
    ChaCha20,
    cipher::{KeyIvInit, StreamCipher},
};

use crate::crypto;

/// A random permutation of the numbers below `count`, determined by `seed`: Fisher and Yates' shuffle
/// from the last place down, with numbers of 64 bits of the ChaCha20 stream of `SHA-256(label || seed)`. A number of
/// the incomplete last block of `2^64` is thrown away, so that all orders are equally likely.
fn order(seed: &[u8; 32], count: usize) -> Vec<u32> {
    let key = crypto::hash("graph", &[seed]);
    let mut stream = ChaCha20::new((&key).into(), &[0; 12].into());
    let mut below = |bound: u64| {
        let whole = u64::MAX - (u64::MAX % bound + 1) % bound;
        loop {
            let mut bytes = [0; 8];
            stream.write_keystream(&mut bytes);
            let number = u64::from_le_bytes(bytes);
            if number <= whole {
                return (number % bound) as usize;
            }
        }
    };
    let mut order: Vec<u32> = (0..count as u32).collect();
    for last in (1..count).rev() {
        order.swap(last, below(last as u64 + 1));
    }
    order
}

/// The neighbours of a place on the ring, by position in the roster, in ascending order.
fn near(ring: &[u32], place: usize, degree: usize) -> Vec<u32> {
    let places = (1..=degree / 2).flat_map(|step| [place + step, place + ring.len() - step]);
    let mut near: Vec<u32> = places.map(|place| ring[place % ring.len()]).collect();
    near.sort_unstable();
    near
}

fn others(count: usize, position: usize) -> Vec<u32> {
    (0..count as u32).filter(|other| *other as usize != position).collect()
}

/// The neighbours of each client, by position in the roster, in ascending order. `degree` is even, or `count - 1`.
pub(crate) fn all(seed: &[u8; 32], count: usize, degree: usize) -> Vec<Vec<u32>> {
    if degree + 1 >= count {
        return (0..count).map(|position| others(count, position)).collect();
    }
    let ring = order(seed, count);
    let mut graph = vec![Vec::new(); count];
    for (place, client) in ring.iter().enumerate() {
        graph[*client as usize] = near(&ring, place, degree);
    }
    graph
}

/// The neighbours of one client, as [`all`] has them.
pub(crate) fn one(seed: &[u8; 32], count: usize, degree: usize, position: usize) -> Vec<u32> {
    if degree + 1 >= count {
        return others(count, position);
    }
    let ring = order(seed, count);
    let place = ring
        .iter()
        .position(|client| *client as usize == position)
        .expect("a position below the count");
    near(&ring, place, degree)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_graph_is_regular_symmetric_and_without_loops() {
        for (count, degree) in [(2, 1), (5, 4), (6, 2), (7, 4), (100, 20), (101, 50)] {
            let graph = all(&[7; 32], count, degree);
            for (i, list) in graph.iter().enumerate() {
                assert_eq!(list.len(), degree);
                assert_eq!(*list, one(&[7; 32], count, degree, i));
                assert!(list.is_sorted_by(|a, b| a < b));
                assert!(
                    list.iter()
                        .all(|j| *j as usize != i && graph[*j as usize].contains(&(i as u32)))
                );
            }
        }
    }

    #[test]
    fn seeds_give_different_orders() {
        assert_ne!(order(&[1; 32], 50), order(&[2; 32], 50));
        let mut sorted = order(&[1; 32], 50);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..50).collect::<Vec<_>>());
    }
}
