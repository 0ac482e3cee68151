use super::{FigureSpec, Grid, Spread, SweepRow, report::last_round};
use crate::{
    ReportError,
    figures::{Figure, LineChart, Places, Point, Series},
};

/// The scale is logarithmic if the largest number is at least this many times the smallest.
const LOGARITHMIC: f64 = 8.0;

pub(super) fn draw(
    grid: &Grid,
    rows: &[SweepRow],
    spec: &FigureSpec,
    narrow: bool,
) -> Result<Option<Figure>, ReportError> {
    let Some(axis) = grid.axes.get(spec.x) else {
        let (x, axes) = (spec.x, grid.axes.len());
        let problem = format!("there is no axis {x} (counted from 0) among {axes}");
        return Err(ReportError::Figure { figure: "sweep", problem });
    };
    let most = |count: fn(&SweepRow) -> usize| rows.iter().map(count).max().unwrap_or(0);
    let note = match (most(|row| row.seeds), most(|row| row.draws)) {
        (0 | 1, _) => "one seed".to_owned(),
        (seeds, 0 | 1) => format!("mean and sample deviation over {seeds} seeds"),
        (runs, draws) => format!("mean and sample deviation over {runs} runs of {draws} draws"),
    };
    let places = places(&axis.values);
    let x = |index: usize| match &places {
        Places::Ticks { ticks, .. } => ticks[index],
        _ => index as f64,
    };
    let figure = LineChart {
        title: spec.title.clone(),
        note,
        x_label: axis.name.clone(),
        y_label: format!("accuracy of the global model, {}, %", last_round(rows)),
        series: series(grid, rows, spec.x, x),
        places,
        narrow,
        ..LineChart::default()
    };
    // Checked before the first run.
    figure.check()?;
    if rows.is_empty() { Ok(None) } else { figure.draw().map(Some) }
}

/// If all values are numbers, they are placed to scale, and lines join the points of a series.
fn places(values: &[String]) -> Places {
    let number =
        |value: &String| value.trim().parse().ok().filter(|number: &f64| number.is_finite());
    let numbers: Vec<f64> = values.iter().filter_map(number).collect();
    let low = numbers.iter().copied().fold(f64::INFINITY, f64::min);
    let high = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if numbers.len() < values.len() || low >= high {
        return Places::Names(values.to_vec());
    }
    Places::Ticks { ticks: numbers, logarithmic: low > 0.0 && high / low >= LOGARITHMIC }
}

/// The points of the rows that differ only in `x`. All series exist from the beginning, so that their colours do not
/// change as points are added.
fn series(grid: &Grid, rows: &[SweepRow], x: usize, place: impl Fn(usize) -> f64) -> Vec<Series> {
    let mut series: Vec<(Vec<usize>, Series)> = Vec::new();
    for (index, row) in grid.rows.iter().enumerate() {
        let mut values = row.values.clone();
        let column = values.remove(x);
        let found = rows.iter().find(|result| result.row == index);
        let point = found.and_then(|result| result.accuracy).map(|accuracy| {
            let Spread { mean, deviation } = accuracy.times(100.0);
            Point { x: place(column), y: mean, deviation }
        });
        match series.iter_mut().find(|(own, _)| *own == values) {
            Some((_, series)) => series.points.extend(point),
            None => {
                let name = name(grid, &values, x);
                let points = point.into_iter().collect();
                series.push((values, Series { name, points, ..Series::default() }));
            }
        }
    }
    series.sort_by(|(a, _), (b, _)| a.cmp(b));
    let from_left = |(_, mut series): (Vec<usize>, Series)| {
        series.points.sort_by(|a, b| a.x.total_cmp(&b.x));
        series
    };
    series.into_iter().map(from_left).collect()
}

fn name(grid: &Grid, values: &[usize], x: usize) -> String {
    let others = grid.axes.iter().enumerate().filter(|(index, _)| *index != x);
    let names: Vec<&str> =
        others.zip(values).map(|((_, axis), &value)| axis.values[value].as_str()).collect();
    names.join(", ")
}
