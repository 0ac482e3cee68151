//! The position of the pixels of an example in the picture.

/// Colours of the example: the background, and the ink of a one-colour picture.
pub(super) struct Colors {
    pub(super) background: [f32; 3],
    pub(super) ink: Option<[f32; 3]>,
}

/// The map from a point of the example to the point of the picture that is seen there.
pub(super) struct View {
    matrix: [[f32; 2]; 2],
    center: f32,
    shift: [f32; 2],
}

impl View {
    pub(super) fn new(
        side: usize,
        angle: f32,
        scale: f32,
        shift: [f32; 2],
        mirrored: bool,
    ) -> Self {
        let (sin, cos) = (angle.sin() / scale, angle.cos() / scale);
        let center = (side as f32 - 1.0) / 2.0;
        let across = if mirrored { -1.0 } else { 1.0 };
        Self { matrix: [[across * cos, across * sin], [-sin, cos]], center, shift }
    }

    fn source(&self, x: usize, y: usize) -> [f32; 2] {
        let x = x as f32 - self.center - self.shift[0];
        let y = y as f32 - self.center - self.shift[1];
        self.matrix.map(|[a, b]| a * x + b * y + self.center)
    }
}

/// Samples bilinearly, premultiplied so that the colour under full transparency never shows.
pub(super) fn compose(pixels: &[u8], side: usize, view: &View, colors: &Colors) -> Vec<f32> {
    let plane = side * side;
    let mut image = vec![0f32; 3 * plane];
    for y in 0..side {
        for x in 0..side {
            let [color @ .., alpha] = sample(pixels, side, view.source(x, y));
            for channel in 0..3 {
                let drawn = match colors.ink {
                    Some(ink) => ink[channel] * alpha,
                    None => color[channel],
                };
                image[channel * plane + y * side + x] =
                    drawn + colors.background[channel] * (1.0 - alpha);
            }
        }
    }
    image
}

/// Premultiplied RGBA at a point, in `[0, 1]`; transparent outside the picture.
fn sample(pixels: &[u8], side: usize, [x, y]: [f32; 2]) -> [f32; 4] {
    let (left, top) = (x.floor(), y.floor());
    let (right_share, bottom_share) = (x - left, y - top);
    let mut sum = [0f32; 4];
    for (dy, share_y) in [(0, 1.0 - bottom_share), (1, bottom_share)] {
        for (dx, share_x) in [(0, 1.0 - right_share), (1, right_share)] {
            let (column, row) = (left as i64 + dx, top as i64 + dy);
            let inside = 0..side as i64;
            let share = share_x * share_y;
            if share == 0.0 || !inside.contains(&column) || !inside.contains(&row) {
                continue;
            }
            let at = 4 * (row as usize * side + column as usize);
            let alpha = share * f32::from(pixels[at + 3]) / 255.0;
            for channel in 0..3 {
                sum[channel] += alpha * f32::from(pixels[at + channel]) / 255.0;
            }
            sum[3] += alpha;
        }
    }
    sum
}
