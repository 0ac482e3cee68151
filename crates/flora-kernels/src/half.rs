//! Frozen linear layers in 16 bits.

use burn::tensor::{DType, Device, Tensor};

#[cfg(feature = "flex")]
use crate::flex::half as form;
#[cfg(not(feature = "flex"))]
use crate::no_half as form;
use crate::quick_gelu;

/// A floating-point number of 16 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Half {
    /// 8 bits of exponent, as `f32` has, and 8 of precision.
    Bf16,
    /// 5 bits of exponent and 11 of precision: numbers beyond 65,504 become infinite.
    F16,
}

/// The weight of a frozen linear layer in 16 bits, rounded once for all products with it. These products have no
/// gradients.
///
/// Inputs are rounded, too; rounding is to nearest, half to even. On burn's CPU backend products are added in `f32`,
/// and so are the bias and the matrix that the output is added to. An output is off by at most 2/256 (bf16) or 2/2048
/// (f16) of the sum of its products' magnitudes; for the sums of ViT-B/32, a thousandth (bf16) is common. There bf16 is
/// about twice as fast as `f32` on a processor with AVX512-BF16 ([`HalfWeight::is_emulated`]). On other processors, and
/// in f16 on all of them, the rounded numbers are multiplied as `f32`, for the same results at the speed of `f32`.
///
/// On other devices the product is burn's, of tensors of that type, if they support it. Clones share the weight.
#[derive(Debug, Clone)]
pub struct HalfWeight(Form);

#[derive(Debug, Clone)]
enum Form {
    /// On burn's CPU backend.
    Packed(form::Weight),
    /// A tensor of the 16-bit type.
    Cast(Box<Tensor<2>>),
}

impl Half {
    /// burn's name of the type.
    pub fn dtype(self) -> DType {
        match self {
            Self::Bf16 => DType::BF16,
            Self::F16 => DType::F16,
        }
    }
}

impl HalfWeight {
    /// Rounds `weight`, `[input, output]`, and lays it out for products. `None` if the device does not support the
    /// type, for other number types than `f32`, and for an empty weight.
    pub fn new(weight: &Tensor<2>, half: Half) -> Option<Self> {
        if weight.dtype() != DType::F32 || weight.dims().contains(&0) {
            return None;
        }
        if let Some(packed) = form::pack(weight, half) {
            return Some(Self(Form::Packed(packed)));
        }
        let (weight, device) = (weight.clone().inner(), weight.device().inner());
        device
            .supports_dtype(half.dtype())
            .then(|| Self(Form::Cast(Box::new(weight.cast(half.dtype())))))
    }

    /// Whether rounded numbers are multiplied as `f32`, which saves no time.
    pub fn is_emulated(&self) -> bool {
        match &self.0 {
            Form::Packed(weight) => form::is_emulated(weight),
            Form::Cast(_) => false,
        }
    }

    /// [`linear`](crate::linear) in 16 bits, `onto + x W + bias`. `None` if `x` is not an `f32` tensor of the weight's
    /// backend without autodiff.
    ///
    /// # Shapes
    ///
    /// - x: `[..., input]`
    /// - bias: `[output]`
    /// - onto and output: `[..., output]`
    ///
    /// # Panics
    ///
    /// If the shapes are inconsistent.
    pub fn linear<const D: usize>(
        &self,
        x: &Tensor<D>,
        bias: Option<&Tensor<1>>,
        onto: Option<&Tensor<D>>,
    ) -> Option<Tensor<D>> {
        let weight = match &self.0 {
            Form::Packed(weight) => return form::linear(weight, x, bias, onto),
            Form::Cast(weight) => weight,
        };
        let [input, output] = weight.dims();
        let mut dims = x.dims();
        assert_eq!(dims[D - 1], input, "as wide as the weight is high");
        let rows = [dims[..D - 1].iter().product(), input];
        dims[D - 1] = output;
        assert!(bias.iter().all(|bias| bias.dims() == [output]), "a bias a column");
        assert!(onto.iter().all(|onto| onto.dims() == dims), "as large as the output");
        let device = weight.device();
        let plain = |dtype: DType, other: Device| dtype == DType::F32 && other == device;
        let fits = plain(x.dtype(), x.device())
            && bias.iter().all(|it| plain(it.dtype(), it.device()))
            && onto.iter().all(|it| plain(it.dtype(), it.device()));
        if !fits {
            return None;
        }
        let rows = x.clone().reshape(rows);
        let product = rows.cast(weight.dtype()).matmul(Tensor::clone(weight)).cast(DType::F32);
        let product = match bias {
            Some(bias) => product + bias.clone().unsqueeze(),
            None => product,
        };
        let product = product.reshape(dims);
        Some(match onto {
            Some(onto) => product + onto.clone(),
            None => product,
        })
    }

    /// A feed-forward network in 16 bits, `onto + quick_gelu(x W + biases[0]) V + biases[1]`, where `V` is `next`. It
    /// has the bits of the separate operations; on burn's CPU backend with AVX512-BF16, it is one pass over `x` that
    /// writes nothing but the output to memory. `None` if [`HalfWeight::linear`] gives `None`.
    ///
    /// # Shapes
    ///
    /// - x: `[..., input]`
    /// - W: `[input, wide]`; V: `[wide, output]`
    /// - biases: `[wide]` and `[output]`
    /// - onto and output: `[..., output]`
    ///
    /// # Panics
    ///
    /// If the shapes are inconsistent.
    pub fn feed_forward<const D: usize>(
        &self,
        next: &Self,
        x: &Tensor<D>,
        biases: [Option<&Tensor<1>>; 2],
        onto: Option<&Tensor<D>>,
    ) -> Option<Tensor<D>> {
        if let (Form::Packed(weight), Form::Packed(next)) = (&self.0, &next.0) {
            return form::feed_forward([weight, next], x, biases, onto);
        }
        next.linear(&quick_gelu(self.linear(x, biases[0], None)?), biases[1], onto)
    }
}
