//! Files written by PyTorch give the values that PyTorch itself reads from them.

mod common;

use flora_torch::{ElementType, Kind, TorchFile};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

fn check(name: &str, kind: Kind) {
    let file = TorchFile::open(&common::fixture(&format!("{name}.pt"))).unwrap();
    let bytes = std::fs::read(common::fixture(&format!("{name}.safetensors"))).unwrap();
    let expected = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.kind(), kind);
    let mut names: Vec<&str> = expected.names().into_iter().collect();
    names.sort_unstable();
    assert_eq!(file.tensors().map(|(name, _)| name).collect::<Vec<_>>(), names);
    assert!(!names.is_empty());
    for (name, view) in expected.iter() {
        check_tensor(&file, name, &view);
    }
}

fn check_tensor(file: &TorchFile, name: &str, view: &TensorView<'_>) {
    let tensor = file.get(name).unwrap();
    assert_eq!(tensor.shape(), view.shape(), "{name}");
    assert_eq!(tensor.num_elements(), view.shape().iter().product::<usize>(), "{name}");
    assert_eq!(tensor.dtype(), element(view.dtype()), "{name}");
    let Some(values) = values(view) else {
        let error = file.read_f32(name).unwrap_err().to_string();
        assert!(error.contains(&tensor.dtype().to_string()), "{error}");
        return;
    };
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&file.read_f32(name).unwrap()), bits(&values), "{name}");
    let Some(&rows) = tensor.shape().first() else {
        assert!(file.read_rows_f32(name, 0..0).is_err());
        return;
    };
    let row = values.len() / rows.max(1);
    for start in [0, 1, rows / 3] {
        for end in [start, rows / 2, rows] {
            if start <= end && end <= rows {
                let part = file.read_rows_f32(name, start..end).unwrap();
                assert_eq!(bits(&part), bits(&values[start * row..end * row]), "{name}");
            }
        }
    }
    assert!(file.read_rows_f32(name, 0..rows + 1).is_err());
}

fn element(dtype: Dtype) -> ElementType {
    match dtype {
        Dtype::F32 => ElementType::F32,
        Dtype::F16 => ElementType::F16,
        Dtype::BF16 => ElementType::BF16,
        Dtype::F64 => ElementType::F64,
        Dtype::F8_E4M3 => ElementType::F8E4M3,
        Dtype::F8_E5M2 => ElementType::F8E5M2,
        Dtype::I64 => ElementType::I64,
        Dtype::I32 => ElementType::I32,
        Dtype::I16 => ElementType::I16,
        Dtype::I8 => ElementType::I8,
        Dtype::U64 => ElementType::U64,
        Dtype::U32 => ElementType::U32,
        Dtype::U16 => ElementType::U16,
        Dtype::U8 => ElementType::U8,
        Dtype::BOOL => ElementType::Bool,
        Dtype::C64 => ElementType::Complex64,
        other => panic!("no fixture has {other:?}"),
    }
}

/// The values, for the supported types.
fn values(view: &TensorView<'_>) -> Option<Vec<f32>> {
    let bytes = view.data();
    match view.dtype() {
        Dtype::F32 => Some(bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()),
        Dtype::F16 => Some(
            bytes.as_chunks().0.iter().map(|b| half::f16::from_le_bytes(*b).to_f32()).collect(),
        ),
        Dtype::BF16 => Some(
            bytes.as_chunks().0.iter().map(|b| half::bf16::from_le_bytes(*b).to_f32()).collect(),
        ),
        _ => None,
    }
}

#[test]
fn archives_of_torch_save() {
    for name in ["types", "model", "objects", "checkpoint"] {
        check(name, Kind::StateDict);
    }
}

#[test]
fn pickle_protocols() {
    for protocol in 3..=5 {
        check(&format!("protocol-{protocol}"), Kind::StateDict);
    }
}

#[test]
fn strides() {
    check("views", Kind::StateDict);
    check("legacy-views", Kind::StateDict);
}

#[test]
fn the_old_format() {
    check("legacy-types", Kind::StateDict);
    check("legacy-checkpoint", Kind::StateDict);
}

#[test]
fn torch_script() {
    for name in ["script", "trace", "script-half"] {
        check(name, Kind::TorchScript);
    }
}

#[test]
fn what_is_refused() {
    for (name, words) in [
        ("sparse", "tensor \"a\": sparse (torch._utils._rebuild_sparse_tensor)"),
        ("quantised", "tensor \"a\": quantised (torch._utils._rebuild_qtensor)"),
        ("expanded", "tensor \"a\": its elements overlap"),
        ("meta", "tensor \"a\": without data"),
        ("nested", "a dict without tensors (its keys: \"model\")"),
        ("tensor", "a single tensor, not a state dict"),
        ("module", "a whole object (torch.nn.modules.linear.Linear)"),
    ] {
        let path = common::fixture(&format!("refused-{name}.pt"));
        let error = TorchFile::open(&path).unwrap_err().to_string();
        assert!(error.starts_with(&path.display().to_string()), "{error}");
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn several_threads_read_one_file() {
    let file = TorchFile::open(&common::fixture("views.pt")).unwrap();
    let expected = file.read_f32("matrix transposed").unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    assert_eq!(file.read_f32("matrix transposed").unwrap(), expected);
                }
            });
        }
    });
}
