use crate::ElementType;
use crate::source::Extent;
use crate::tensor::TensorRef;

/// The description of a tensor, without its data.
#[derive(Clone, Debug)]
pub struct TensorInfo {
    element: ElementType,
    shape: Vec<usize>,
    num_elements: usize,
    /// Distance between neighbours along each axis, in elements.
    pub(crate) strides: Vec<u64>,
    /// The position of the first element in the file, in bytes.
    pub(crate) start: u64,
}

impl TensorInfo {
    /// The type of its elements.
    pub fn dtype(&self) -> ElementType {
        self.element
    }

    /// Its shape; empty for a single number.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The product of its shape. Never more than the file has room for.
    pub fn num_elements(&self) -> usize {
        self.num_elements
    }

    /// Checks that every element of `tensor` is in its storage, which is at `extent`, and that no two elements overlap.
    /// The latter bounds the memory by the size of the file, and allows reading the data in one pass.
    pub(crate) fn new(tensor: &TensorRef<'_>, extent: Extent) -> Result<Self, String> {
        const OVERFLOW: &str = "its size overflows; the file is damaged";
        let storage = &tensor.storage;
        let storage_bytes =
            storage.num_elements.checked_mul(storage.element_size()).ok_or(OVERFLOW)?;
        if storage_bytes > extent.len {
            return Err(format!(
                "its storage should have {storage_bytes} bytes, but there are {}; copy or download \
                 the file again",
                extent.len
            ));
        }
        let element_size = tensor.element.size() as u64;
        let available = storage_bytes / element_size;

        let empty = tensor.shape.contains(&0);
        let mut axes: Vec<(u64, u64)> =
            tensor.strides.iter().copied().zip(tensor.shape.iter().copied()).collect();
        axes.retain(|&(_, size)| size > 1);
        axes.sort_unstable();
        let mut num_elements = u64::from(!empty);
        // Index of the last element.
        let mut last = 0u64;
        if !empty {
            for (stride, size) in axes {
                if stride <= last {
                    return Err("its elements overlap (expand, as_strided); save it with \
                                .contiguous()"
                        .into());
                }
                let span = stride.checked_mul(size - 1).ok_or(OVERFLOW)?;
                last = last.checked_add(span).ok_or(OVERFLOW)?;
                num_elements = num_elements.checked_mul(size).ok_or(OVERFLOW)?;
            }
            let end = tensor.offset.checked_add(last).ok_or(OVERFLOW)?;
            if end >= available {
                return Err(format!(
                    "its last element is number {end} of a storage of {available}; the file is \
                     damaged"
                ));
            }
        } else if tensor.offset > available {
            return Err("it begins after the end of its storage; the file is damaged".into());
        }
        // Within the storage, and the storage within the file: no overflow.
        let start = extent.start + tensor.offset * element_size;
        let shape =
            tensor.shape.iter().map(|&size| usize::try_from(size)).collect::<Result<_, _>>();
        Ok(Self {
            element: tensor.element,
            shape: shape.map_err(|_| OVERFLOW)?,
            num_elements: usize::try_from(num_elements).map_err(|_| OVERFLOW)?,
            strides: tensor.strides.clone(),
            start,
        })
    }

    /// `len` rows of the first axis, from `start` on.
    pub(crate) fn rows(&self, start: usize, len: usize) -> Self {
        let mut part = self.clone();
        // The strides of an empty tensor are meaningless.
        if self.num_elements > 0 {
            part.start += start as u64 * self.strides[0] * self.element.size() as u64;
        }
        part.num_elements = self.num_elements.checked_div(self.shape[0]).unwrap_or(0) * len;
        part.shape[0] = len;
        part
    }
}
