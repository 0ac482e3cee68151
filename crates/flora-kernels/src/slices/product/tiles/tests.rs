use super::*;
use crate::slices::tests::numbers;

/// Every kind of processor that this one can emulate.
fn kinds() -> Vec<Arch> {
    let mut kinds = vec![Arch::new(), Arch::Scalar];
    #[cfg(target_arch = "x86_64")]
    kinds.extend(pulp::x86::V3::try_new().map(Arch::V3));
    kinds
}

fn product(arch: Arch, a: Matrix<'_>, b: Matrix<'_>, onto: Onto<'_>) -> Vec<f32> {
    // SAFETY: a product writes every value.
    unsafe { written(a.rows * b.columns, |out| multiply_on(arch, out, a, b, onto)) }
}

/// Shapes that are and are not multiples of tiles, panels, rounds and parts: rows, depth, columns.
const SHAPES: [[usize; 3]; 9] = [
    [1, 1, 1],
    [3, 17, 5],
    [12, 512, 32],
    [13, 513, 33],
    [25, 64, 300],
    [70, 1030, 95],
    [131, 48, 64],
    [300, 33, 161],
    [150, 1100, 290],
];

/// A matrix of `values` stored row by row, column by column, or with gaps.
fn lie(values: &[f32], [rows, columns]: [usize; 2], how: usize) -> (Vec<f32>, [usize; 2]) {
    let strides = [[columns, 1], [1, rows], [2 * columns, 2]][how];
    let mut out = vec![f32::NAN; rows * strides[0].max(1) * 2 + columns * strides[1] * 2];
    for (index, &value) in values.iter().enumerate() {
        out[index / columns * strides[0] + index % columns * strides[1]] = value;
    }
    (out, strides)
}

#[test]
fn products_are_those_of_the_definition() {
    for [rows, depth, columns] in SHAPES {
        let (a, b) = (numbers(rows * depth, 1), numbers(depth * columns, 2));
        let (bias, onto) = (numbers(columns, 3), numbers(rows * columns, 4));
        let mut exact = Vec::new();
        for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |it| (row, it))) {
            let terms = (0..depth)
                .map(|k| f64::from(a[row * depth + k]) * f64::from(b[k * columns + column]));
            let added = f64::from(bias[column]) + f64::from(onto[row * columns + column]);
            exact
                .push((added + terms.clone().sum::<f64>(), 3.0 + terms.map(f64::abs).sum::<f64>()));
        }
        for (arch, how) in kinds().into_iter().flat_map(|it| (0..9).map(move |how| (it, how))) {
            let (a, a_strides) = lie(&a, [rows, depth], how / 3);
            let (b, b_strides) = lie(&b, [depth, columns], how % 3);
            let a = Matrix::new(&a, [rows, depth], a_strides);
            let b = Matrix::new(&b, [depth, columns], b_strides);
            let onto = Onto { bias: Some(&bias), matrix: Some(&onto) };
            let got = product(arch, a, b, onto);
            for (index, (got, &(exact, magnitude))) in got.iter().zip(&exact).enumerate() {
                let error = (f64::from(*got) - exact).abs();
                assert!(
                    error <= 1e-6 * magnitude,
                    "{rows} x {depth} x {columns}, {how}, {arch:?}: {index} is off by {error:e}"
                );
            }
        }
    }
}

#[test]
fn nothing_is_added_where_nothing_is_given() {
    let (a, b) = (numbers(20 * 600, 5), numbers(600 * 50, 6));
    let (a, b) = (Matrix::of_rows(&a, 600), Matrix::of_rows(&b, 50));
    let zeros = vec![-0.0; 20 * 50];
    let onto = |bias: bool, matrix: bool| Onto {
        bias: bias.then_some(&zeros[..50]),
        matrix: matrix.then_some(&zeros),
    };
    let all = product(Arch::new(), a, b, onto(true, true));
    for (bias, matrix) in [(false, false), (true, false), (false, true)] {
        assert_eq!(product(Arch::new(), a, b, onto(bias, matrix)), all);
    }
}

#[test]
fn an_element_is_the_same_whatever_others_there_are_and_however_many_threads() {
    let (rows, depth, columns) = (200, 700, 260);
    let (a, b) = (numbers(rows * depth, 7), numbers(depth * columns, 8));
    let (left, right) = (Matrix::of_rows(&a, depth), Matrix::of_rows(&b, columns));
    let none = Onto { bias: None, matrix: None };
    let all = product(Arch::new(), left, right, none);
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(pool.install(|| product(Arch::new(), left, right, none)), all);
    }
    for (row, of_all) in a.chunks(9 * depth).zip(all.chunks(9 * columns)) {
        assert_eq!(product(Arch::new(), Matrix::of_rows(row, depth), right, none), of_all);
    }
}

#[test]
fn values_that_are_not_finite_are_not_lost() {
    let mut a = numbers(9 * 70, 9);
    (a[3], a[70 + 69]) = (f32::NAN, f32::INFINITY);
    let b = vec![1.0; 70 * 40];
    let none = Onto { bias: None, matrix: None };
    let got = product(Arch::new(), Matrix::of_rows(&a, 70), Matrix::of_rows(&b, 40), none);
    assert!(got[..40].iter().all(|value| value.is_nan()));
    assert!(got[40..80].iter().all(|&value| value == f32::INFINITY));
    assert!(got[80..].iter().all(|value| value.is_finite()));
}
