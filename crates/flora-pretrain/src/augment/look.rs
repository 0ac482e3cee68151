//! The look of an example; images are RGB channel by channel.

/// A rotation of the hues and a factor on the saturation.
pub(super) struct Tint {
    matrix: [[f32; 3]; 3],
}

impl Tint {
    /// In YIQ, colour is a plane: a rotation in it by `angle` (radians) keeps the luminance.
    pub(super) fn new(angle: f32, saturation: f32) -> Self {
        /// NTSC's matrices (FCC, 1953), as in Pillow's and torchvision's references.
        const TO_YIQ: [[f32; 3]; 3] =
            [[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]];
        const TO_RGB: [[f32; 3]; 3] =
            [[1.0, 0.956, 0.621], [1.0, -0.272, -0.647], [1.0, -1.106, 1.703]];
        let (sin, cos) = (saturation * angle.sin(), saturation * angle.cos());
        let turn = [[1.0, 0.0, 0.0], [0.0, cos, -sin], [0.0, sin, cos]];
        Self { matrix: product(TO_RGB, product(turn, TO_YIQ)) }
    }

    pub(super) fn apply(&self, image: &mut [f32]) {
        let plane = image.len() / 3;
        let (red, rest) = image.split_at_mut(plane);
        let (green, blue) = rest.split_at_mut(plane);
        for ((r, g), b) in red.iter_mut().zip(green).zip(blue) {
            let color = [*r, *g, *b];
            [*r, *g, *b] = self.matrix.map(|row| dot(row, color));
        }
    }
}

fn dot(a: [f32; 3], b: [f32; 3]) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn product(a: [[f32; 3]; 3], b: [[f32; 3]; 3]) -> [[f32; 3]; 3] {
    a.map(|row| [0, 1, 2].map(|column| dot(row, [0, 1, 2].map(|k| b[k][column]))))
}

/// Light from one side.
pub(super) struct Shade {
    /// The direction of the light, in radians.
    pub(super) direction: f32,
    /// How much darker the other side is, as a share.
    pub(super) strength: f32,
}

impl Shade {
    pub(super) fn apply(&self, image: &mut [f32], side: usize) {
        let (sin, cos) = self.direction.sin_cos();
        let half = (side as f32 - 1.0) / 2.0;
        for (index, value) in image.iter_mut().enumerate() {
            let (y, x) = (index / side % side, index % side);
            // From -1 to 1 along the light, at most.
            let along = ((x as f32 - half) * cos + (y as f32 - half) * sin)
                / (half.max(0.5) * std::f32::consts::SQRT_2);
            *value *= 1.0 - self.strength * (0.5 + 0.5 * along);
        }
    }
}

/// Draws dark lines at edges (the largest of the channels' Sobel gradients), over a mixture of the picture's colours
/// (with the share `keep`) and white.
pub(super) fn outline(image: &mut [f32], side: usize, strength: f32, keep: f32) {
    let plane = side * side;
    let mut edges = vec![0f32; plane];
    for channel in image.chunks(plane) {
        for y in 1..side.saturating_sub(1) {
            for x in 1..side - 1 {
                let at = |dx: usize, dy: usize| channel[(y + dy - 1) * side + x + dx - 1];
                let across =
                    at(2, 0) + 2.0 * at(2, 1) + at(2, 2) - at(0, 0) - 2.0 * at(0, 1) - at(0, 2);
                let down =
                    at(0, 2) + 2.0 * at(1, 2) + at(2, 2) - at(0, 0) - 2.0 * at(1, 0) - at(2, 0);
                let edge = &mut edges[y * side + x];
                *edge = edge.max((across * across + down * down).sqrt());
            }
        }
    }
    for channel in image.chunks_mut(plane) {
        for (value, edge) in channel.iter_mut().zip(&edges) {
            let line = (edge * strength / 2.0).min(1.0);
            *value = (*value * keep + 1.0 - keep) * (1.0 - line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_of_the_hues_keeps_greys_and_a_full_turn_keeps_all() {
        let mut image = vec![0.5, 0.9, 0.5, 0.2, 0.5, 0.1];
        Tint::new(1.0, 1.2).apply(&mut image);
        for channel in 0..3 {
            assert!((image[2 * channel] - 0.5).abs() < 2e-3, "{image:?}");
        }
        let mut image = vec![0.9, 0.2, 0.1];
        Tint::new(std::f32::consts::TAU, 1.0).apply(&mut image);
        assert!((image[0] - 0.9).abs() < 2e-3 && (image[2] - 0.1).abs() < 2e-3, "{image:?}");
        Tint::new(0.3, 0.0).apply(&mut image);
        assert!((image[0] - image[1]).abs() < 2e-3, "{image:?}");
    }

    #[test]
    fn outlines_lie_on_edges_only() {
        // Left half red, right half white.
        let side = 8;
        let mut image = vec![1.0; 3 * side * side];
        for (index, value) in image.iter_mut().enumerate() {
            if index >= side * side && index % side < side / 2 {
                *value = 0.0;
            }
        }
        outline(&mut image, side, 2.0, 1.0);
        let red = &image[3 * side..4 * side];
        assert_eq!(red, [1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
        assert_eq!(image[side * side + 3 * side + 1], 0.0, "colours stay");
    }

    #[test]
    fn light_darkens_the_far_side() {
        let mut image = vec![1.0; 3 * 16];
        Shade { direction: 0.0, strength: 0.4 }.apply(&mut image, 4);
        assert!(image[0] > image[3] && image[3] > 0.59, "{image:?}");
    }
}
