use std::io;

use crate::TensorInfo;
use crate::element::Float;
use crate::source::Source;

/// Elements that are read at once: enough to amortise the calls, and little compared to any tensor.
const BLOCK: u64 = 1 << 16;

/// The values of a tensor, row-major.
pub(crate) fn read(source: &Source, tensor: &TensorInfo, float: Float) -> io::Result<Vec<f32>> {
    let mut axes = Axis::of(tensor);
    let mut values = Vec::new();
    values.try_reserve_exact(tensor.num_elements()).map_err(io::Error::other)?;
    if tensor.num_elements() == 0 {
        return Ok(values);
    }
    let mut window = Window::new(source, tensor.start, float);
    if axes.iter().all(|axis| axis.from == axis.to) {
        let total = tensor.num_elements() as u64;
        for first in (0..total).step_by(BLOCK as usize) {
            window.load(first, BLOCK.min(total - first))?;
            values.extend_from_slice(&window.values);
        }
        return Ok(values);
    }
    // In the order of the file: as elements do not overlap, no byte is read twice.
    axes.sort_unstable_by_key(|axis| std::cmp::Reverse(axis.from));
    values.resize(tensor.num_elements(), 0.0);
    window.plan(&axes);
    let mut index = vec![0u64; axes.len()];
    loop {
        let from = axes.iter().zip(&index).map(|(axis, &i)| axis.from * i).sum();
        let to: u64 = axes.iter().zip(&index).map(|(axis, &i)| axis.to * i).sum();
        values[to as usize] = window.get(from)?;
        let Some(moved) = (0..axes.len()).rev().find(|&a| index[a] + 1 < axes[a].size) else {
            return Ok(values);
        };
        index[moved] += 1;
        index[moved + 1..].fill(0);
    }
}

/// An axis of more than one element: the distances of neighbours in the storage and in the result.
struct Axis {
    size: u64,
    from: u64,
    to: u64,
}

impl Axis {
    fn of(tensor: &TensorInfo) -> Vec<Self> {
        let mut to = 1;
        let mut axes = vec![];
        for (&size, &from) in tensor.shape().iter().zip(&tensor.strides).rev() {
            let size = size as u64;
            if size > 1 {
                axes.push(Self { size, from, to });
                to *= size;
            }
        }
        axes.reverse();
        axes
    }
}

/// A block of a storage, as f32.
struct Window<'a> {
    source: &'a Source,
    /// The position of element 0 in the file.
    start: u64,
    float: Float,
    /// The number of elements of a block, and the index of the last element of all.
    block: u64,
    last: u64,
    first: u64,
    values: Vec<f32>,
    bytes: Vec<u8>,
}

impl<'a> Window<'a> {
    fn new(source: &'a Source, start: u64, float: Float) -> Self {
        Self {
            source,
            start,
            float,
            block: BLOCK,
            last: 0,
            first: 0,
            values: vec![],
            bytes: vec![],
        }
    }

    /// Chooses the block size for `axes`, which are in the order of the file: large blocks if a fair part of the bytes
    /// belong to the tensor, otherwise contiguous pieces.
    fn plan(&mut self, axes: &[Axis]) {
        self.last = axes.iter().map(|axis| (axis.size - 1) * axis.from).sum();
        let num_elements: u64 = axes.iter().map(|axis| axis.size).product();
        if self.last / 4 > num_elements {
            let mut piece = 1;
            for axis in axes.iter().rev() {
                if axis.from == piece {
                    piece *= axis.size;
                }
            }
            self.block = piece.min(BLOCK);
        }
    }

    fn get(&mut self, element: u64) -> io::Result<f32> {
        let held = self.first..self.first + self.values.len() as u64;
        if !held.contains(&element) {
            self.load(element, self.block.min(self.last + 1 - element))?;
        }
        Ok(self.values[(element - self.first) as usize])
    }

    fn load(&mut self, first: u64, len: u64) -> io::Result<()> {
        let size = self.float.size() as u64;
        self.bytes.resize((len * size) as usize, 0);
        self.source.read_exact_at(self.start + first * size, &mut self.bytes)?;
        self.first = first;
        self.values.clear();
        self.float.decode(&self.bytes, &mut self.values);
        Ok(())
    }
}
