//! The walk through a module that tracks each parameter's name.

use burn::module::{Flag, Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Bool, Device, Int, Tensor, TensorData};

/// The position of a parameter in a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// The names of the fields that lead to the parameter, joined by dots: `encoder.layers.0.fc1.weight`.
    pub name: &'a str,
    /// The type that holds the parameter, as burn names it: `Struct:Linear`, `Vec`.
    pub container: &'a str,
}

/// A float parameter of any rank: closures cannot be generic over the rank.
pub trait FloatParameter {
    /// The shape. This does not initialise a lazy parameter.
    fn shape(&self) -> Vec<usize>;

    /// The values as f32, row-major.
    fn values(&self) -> Vec<f32>;

    /// Replaces the values, given row-major. Identity, device and gradient setting do not change; the old values of a
    /// lazy parameter are never computed.
    ///
    /// # Panics
    ///
    /// If the number of values does not match the shape.
    fn set_values(&mut self, values: Vec<f32>);

    /// Half the sum of the squared differences from `values`, given row-major, `[1]`. If the parameter has a graph, the
    /// result is part of it, with the difference itself as the gradient.
    ///
    /// # Panics
    ///
    /// As [`set_values`](Self::set_values).
    fn half_squared_distance(&self, values: &[f32]) -> Tensor<1>;

    /// The sum of the products with `values`, given row-major, `[1]`. If the parameter has a graph, the result is part
    /// of it, with `values` as the gradient.
    ///
    /// # Panics
    ///
    /// As [`set_values`](Self::set_values).
    fn dot(&self, values: &[f32]) -> Tensor<1>;

    /// Makes this a separate leaf on `device` that requires gradients.
    fn release(&mut self, device: &Device);

    /// Freezes the values: no gradient of this parameter is computed, and an optimizer skips it.
    fn freeze(&mut self);
}

impl<const D: usize> FloatParameter for Param<Tensor<D>> {
    fn shape(&self) -> Vec<usize> {
        self.lazy_shape().to_vec()
    }

    fn values(&self) -> Vec<f32> {
        // Detached: reading must not affect the training graph.
        let data = self.val().detach().into_data().convert::<f32>();
        data.try_into_vec().expect("just converted")
    }

    fn set_values(&mut self, values: Vec<f32>) {
        let device = self.lazy_device();
        let data = TensorData::new(values, self.lazy_shape());
        *self = if self.is_initialized() {
            let new = Tensor::from_data(data, &device);
            self.clone().map(|old| new.set_require_grad(old.is_require_grad()))
        } else {
            // Initial values live as long as the module; burn allocates such tensors apart.
            let new =
                device.memory_persistent_allocations(data, |data| Tensor::from_data(data, &device));
            // The values have the layout of this parameter, not that of a file.
            self.clone().load_mapper(|tensor| tensor).transform_for_load(new, self.id)
        };
    }

    fn half_squared_distance(&self, values: &[f32]) -> Tensor<1> {
        let data = TensorData::new(values.to_vec(), self.lazy_shape());
        let difference = self.val() - Tensor::from_data(data, &self.lazy_device());
        (difference.clone() * difference).sum().mul_scalar(0.5)
    }

    fn dot(&self, values: &[f32]) -> Tensor<1> {
        let data = TensorData::new(values.to_vec(), self.lazy_shape());
        (self.val() * Tensor::from_data(data, &self.lazy_device())).sum()
    }

    fn release(&mut self, device: &Device) {
        *self = self.clone().fork(device).set_require_grad(true);
    }

    fn freeze(&mut self) {
        *self = self.clone().set_require_grad(false);
    }
}

/// Calls `see` for every float parameter of `module`, in the order of the fields.
pub fn visit<M: Module>(module: &M, see: impl FnMut(Place<'_>, &dyn FloatParameter)) {
    module.visit(&mut Visitor { path: Path::default(), see });
}

/// Calls `change` for every float parameter of `module`, in the order of the fields.
pub fn map<M: Module>(module: M, change: impl FnMut(Place<'_>, &mut dyn FloatParameter)) -> M {
    module.map(&mut Mapper {
        path: Path::default(),
        change,
        identify: |_: &str, _: &mut ParamId| {},
    })
}

/// Calls `identify` to change the identity of every parameter of `module`, of any type, by name.
pub(super) fn map_ids<M: Module>(module: M, identify: impl FnMut(&str, &mut ParamId)) -> M {
    let change = |_: Place<'_>, _: &mut dyn FloatParameter| {};
    module.map(&mut Mapper { path: Path::default(), change, identify })
}

/// The path from the module to the current field.
#[derive(Default)]
struct Path {
    name: String,
    /// For each field on the path, the length of the name before it, and the type that holds it.
    fields: Vec<(usize, String)>,
}

impl Path {
    fn enter(&mut self, name: &str, container: &str) {
        self.fields.push((self.name.len(), container.to_owned()));
        if !self.name.is_empty() {
            self.name.push('.');
        }
        self.name.push_str(name);
    }

    fn exit(&mut self) {
        if let Some((length, _)) = self.fields.pop() {
            self.name.truncate(length);
        }
    }

    fn place(&self) -> Place<'_> {
        let container = self.fields.last().map_or("", |(_, container)| container);
        Place { name: &self.name, container }
    }
}

struct Visitor<F> {
    path: Path,
    see: F,
}

impl<F: FnMut(Place<'_>, &dyn FloatParameter)> ModuleVisitor for Visitor<F> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        (self.see)(self.path.place(), param);
    }
}

struct Mapper<F, I> {
    path: Path,
    change: F,
    identify: I,
}

impl<F, I> ModuleMapper for Mapper<F, I>
where
    F: FnMut(Place<'_>, &mut dyn FloatParameter),
    I: FnMut(&str, &mut ParamId),
{
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, mut param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let place = self.path.place();
        (self.identify)(place.name, &mut param.id);
        (self.change)(place, &mut param);
        param
    }

    fn map_int<const D: usize>(
        &mut self,
        mut param: Param<Tensor<D, Int>>,
    ) -> Param<Tensor<D, Int>> {
        (self.identify)(&self.path.name, &mut param.id);
        param
    }

    fn map_bool<const D: usize>(
        &mut self,
        mut param: Param<Tensor<D, Bool>>,
    ) -> Param<Tensor<D, Bool>> {
        (self.identify)(&self.path.name, &mut param.id);
        param
    }

    fn map_flag(&mut self, mut flag: Param<Flag>) -> Param<Flag> {
        (self.identify)(&self.path.name, &mut flag.id);
        flag
    }
}
