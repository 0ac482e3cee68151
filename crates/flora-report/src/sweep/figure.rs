use image::RgbImage;

use super::{FigureSpec, Grid, SweepRow, report::last_round};
use crate::{
    ReportError,
    plots::{Chart, Series, chart, check_chart},
};

pub(super) fn draw(
    grid: &Grid,
    rows: &[SweepRow],
    spec: &FigureSpec,
) -> Result<Option<RgbImage>, ReportError> {
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
    let figure = Chart {
        title: spec.title.clone(),
        note,
        x_axis: axis.name.clone(),
        x: axis.values.clone(),
        y_axis: format!("accuracy of the global model, {}, %", last_round(rows)),
        series: series(grid, rows, spec.x),
    };
    // Before the first run, not after it.
    check_chart(&figure)?;
    if rows.is_empty() { Ok(None) } else { chart(&figure).map(Some) }
}

/// The points of the rows that differ in nothing but `x`. All series are there from the beginning: their
/// colours stay while points follow.
fn series(grid: &Grid, rows: &[SweepRow], x: usize) -> Vec<Series> {
    let mut series: Vec<(Vec<usize>, Series)> = Vec::new();
    for (index, row) in grid.rows.iter().enumerate() {
        let mut values = row.values.clone();
        let place = values.remove(x);
        let found = rows.iter().find(|result| result.row == index);
        let point = found.and_then(|result| result.accuracy).map(|accuracy| accuracy.times(100.0));
        match series.iter_mut().find(|(own, _)| *own == values) {
            Some((_, series)) => series.points[place] = point,
            None => {
                let mut points = vec![None; grid.axes[x].values.len()];
                points[place] = point;
                let name = name(grid, &values, x);
                series.push((values, Series { name, points }));
            }
        }
    }
    series.sort_by(|(a, _), (b, _)| a.cmp(b));
    series.into_iter().map(|(_, series)| series).collect()
}

fn name(grid: &Grid, values: &[usize], x: usize) -> String {
    let others = grid.axes.iter().enumerate().filter(|(index, _)| *index != x);
    let names: Vec<&str> =
        others.zip(values).map(|((_, axis), &value)| axis.values[value].as_str()).collect();
    names.join(", ")
}
