//! Tables of one quantity: the last axis from left to right, the others downwards.

use super::{
    Grid, SweepRow,
    format::{mean_bytes, mebibytes, seconds, share, with_interval},
    report::{images, last_round},
};
use crate::{sheet::Sheet, units::bytes};

/// A table for each quantity; none if there are fewer than two axes.
pub(super) fn pivots(grid: &Grid, rows: &[SweepRow]) -> Vec<Sheet> {
    if grid.axes.len() < 2 {
        return Vec::new();
    }
    type Figure = fn(&SweepRow) -> Option<String>;
    let last = last_round(rows);
    let own = match rows.iter().any(|row| row.own.is_some()) {
        true => " († there is none: the clients' own models)",
        false => "",
    };
    let compared = grid.compared.name();
    let best = format!("best round{}", images(rows));
    let figures: [(String, Figure); 10] = [
        (format!("Accuracy of the global model{own}, {last}, mean over clients, %"), |row| {
            row.accuracy.map(share).or_else(|| row.own.map(|own| format!("{} †", share(own))))
        }),
        (format!("Accuracy of the global model, {last}, worst client, %"), |row| {
            row.worst.map(share)
        }),
        (format!("Accuracy of the global model, {best}, mean over clients, %"), |row| {
            row.best.map(share)
        }),
        (format!("Base to novel, {last}, harmonic mean, %"), |row| row.harmonic_mean.map(share)),
        (format!("Difference from the baseline, {compared}, with 95 % interval, points"), |row| {
            row.difference.as_ref().map(with_interval)
        }),
        ("Sent by a client in a round".to_owned(), |row| row.bytes.map(bytes)),
        ("Sent by a client in the run".to_owned(), |row| row.total_bytes.map(mean_bytes)),
        ("Training of a round, s".to_owned(), |row| row.seconds.map(seconds)),
        ("Training and aggregation of the run, s".to_owned(), |row| row.total_seconds.map(seconds)),
        ("Peak memory, MiB".to_owned(), |row| row.memory.map(mebibytes)),
    ];
    figures.iter().filter_map(|(name, figure)| pivot(grid, rows, name, *figure)).collect()
}

fn pivot(
    grid: &Grid,
    rows: &[SweepRow],
    name: &str,
    figure: fn(&SweepRow) -> Option<String>,
) -> Option<Sheet> {
    let (across, down) = grid.axes.split_last()?;
    let values = |row: &SweepRow| grid.rows[row.row].values.as_slice();
    // In the order of the grid, which goes through the last axis first.
    let mut lines: Vec<&[usize]> = Vec::new();
    for row in rows {
        let line = &values(row)[..down.len()];
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    let mut sheet = Sheet::new(name, lines.len());
    for (index, axis) in down.iter().enumerate() {
        let names = lines.iter().map(|line| axis.values[line[index]].clone());
        sheet.stub(&axis.name, names.collect());
    }
    let mut any = false;
    for (index, value) in across.values.iter().enumerate() {
        let cell = |line: &&[usize]| {
            let own = |row: &&SweepRow| values(row).split_last() == Some((&index, *line));
            figure(rows.iter().find(own)?)
        };
        let cells: Vec<Option<String>> = lines.iter().map(cell).collect();
        any |= cells.iter().any(Option::is_some);
        sheet.column(&across.name, value, cells);
    }
    any.then_some(sheet)
}
