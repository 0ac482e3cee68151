use std::collections::{BTreeMap, BTreeSet};

use flora_federation::{AGGREGATION_ERROR, EvaluatedModel, Event};
use unicode_width::UnicodeWidthStr;

use super::{
    Column, Listing, Page,
    listing::GAP,
    names::{shorten, wrap},
};
use crate::units::{bytes, percent, relative};

/// The narrowest column that a name may be broken into lines for.
const WRAPPED_WIDTH: usize = 8;
/// The most clients that get a column each.
const MOST_COLUMNS: usize = 8;
/// Widths of `round`, `global`, `weighted`, `local`, `up`, `down`, and the gaps between them.
const FIXED_WIDTH: usize = 5 + 6 + 8 + 5 + 8 + 8 + 5 * GAP;
/// That of `down`, which is left out where names have no room.
const DOWN_WIDTH: usize = 8 + GAP;
/// That of `agg. err`.
const ERROR_WIDTH: usize = 8 + GAP;
/// The narrowest that a client's column may be (`100.0`), and the widest.
const CLIENT_WIDTH: (usize, usize) = (5, 14);

/// One row per round: the accuracy of the global model (or of the clients' own models, if there is no global one),
/// unweighted and weighted by test examples, and by client (or minimum, median and maximum, if there are many); the
/// mean accuracy of the local models; the aggregation error of the previous round, if LoRA factors were averaged; and
/// the bytes sent up and down so far. Accuracies are in percent.
///
/// Made from the `Evaluated` and `Aggregated` events; others are ignored.
pub fn rounds(events: &[Event], page: Page) -> String {
    let rows = rows(events);
    let clients: BTreeSet<&str> =
        rows.values().flat_map(|row| row.clients.keys().copied()).collect();
    let clients: Vec<&str> = clients.into_iter().collect();
    let has_error = rows.values().any(|row| row.error.is_some());
    let (names, has_down) = client_columns(&clients, page, has_error);
    let has_local = rows.values().any(|row| row.local.is_some());

    let model = if rows.values().any(|row| row.own) { "own" } else { "global" };
    let mut header = ["round", model, "weighted"].map(str::to_owned).to_vec();
    match &names {
        Some(names) => header.extend(names.iter().cloned()),
        None => header.extend(["min", "median", "max"].map(str::to_owned)),
    }
    header.extend(has_local.then(|| "local".to_owned()));
    header.extend(has_error.then(|| "agg. err".to_owned()));
    header.push("up".to_owned());
    header.extend(has_down.then(|| "down".to_owned()));

    let rows: Vec<Vec<String>> = rows
        .iter()
        .filter_map(|(round, row)| {
            let (mean, weighted) = row.mean?;
            let mut cells = vec![round.to_string(), percent(mean), percent(weighted)];
            if names.is_some() {
                cells.extend(clients.iter().map(|&id| share(row.clients.get(id).copied())));
            } else {
                cells.extend(spread(row.clients.values().copied().collect()));
            }
            cells.extend(has_local.then(|| share(row.local)));
            cells.extend(has_error.then(|| row.error.map_or_else(|| "-".to_owned(), relative)));
            cells.push(bytes(row.up));
            cells.extend(has_down.then(|| bytes(row.down)));
            Some(cells)
        })
        .collect();
    Listing::new(vec![Column::Figure; header.len()], header, rows).show(page)
}

#[derive(Default)]
struct Row<'a> {
    /// Unweighted and weighted mean.
    mean: Option<(f64, f64)>,
    /// Of the clients' own models.
    own: bool,
    clients: BTreeMap<&'a str, f64>,
    local: Option<f64>,
    /// Of the aggregation before.
    error: Option<f64>,
    /// Bytes until this round began.
    up: u64,
    down: u64,
}

fn rows(events: &[Event]) -> BTreeMap<usize, Row<'_>> {
    let mut rows: BTreeMap<usize, Row<'_>> = BTreeMap::new();
    for event in events {
        match event {
            Event::Evaluated { round, model, accuracy, accuracy_weighted, clients, .. } => {
                let row = rows.entry(*round).or_default();
                match model {
                    EvaluatedModel::Global | EvaluatedModel::Own => {
                        row.own = *model == EvaluatedModel::Own;
                        row.mean = Some((*accuracy, *accuracy_weighted));
                        let tested = clients.iter().filter(|score| score.num_examples > 0);
                        row.clients =
                            tested.map(|score| (score.client.as_str(), score.accuracy)).collect();
                    }
                    EvaluatedModel::Local => row.local = Some(*accuracy),
                }
            }
            // What round t sends is behind the model that round t + 1 evaluates.
            Event::Aggregated { round, bytes_up, bytes_down, metrics, .. } => {
                let row = rows.entry(round + 1).or_default();
                row.error = metrics.get(AGGREGATION_ERROR).copied();
                row.up += bytes_up;
                row.down += bytes_down;
            }
            _ => {}
        }
    }
    let (mut up, mut down) = (0, 0);
    for row in rows.values_mut() {
        up += row.up;
        down += row.down;
        (row.up, row.down) = (up, down);
    }
    rows
}

/// A heading for each client, if there is room for all, and whether there is room for all other columns, too.
fn client_columns(clients: &[&str], page: Page, has_error: bool) -> (Option<Vec<String>>, bool) {
    if clients.len() > MOST_COLUMNS {
        return (None, true);
    }
    let whole = || Some(clients.iter().map(|&name| name.to_owned()).collect());
    let Page::Terminal(width) = page else { return (whole(), true) };
    let (narrowest, widest) = CLIENT_WIDTH;
    let room = |fixed: usize| {
        let each = width.saturating_sub(fixed) / clients.len().max(1);
        each.saturating_sub(GAP).clamp(narrowest, widest)
    };
    let fixed = FIXED_WIDTH + if has_error { ERROR_WIDTH } else { 0 };
    let (with, without) = (room(fixed), room(fixed - DOWN_WIDTH));
    let fits = |width: usize| clients.iter().all(|name| name.width() <= width);
    let wrapped = |width| (width >= WRAPPED_WIDTH).then(|| wrap(clients, width));
    // Whole names first, then names that are cut. Those that could not be told apart then go on several lines.
    let plans = [(with, true), (without, false)];
    let whole = plans.iter().find(|(width, _)| fits(*width)).map(|&(_, down)| (whole(), down));
    let cut = || plans.iter().find_map(|&(width, down)| Some((shorten(clients, width)?, down)));
    let tall = || plans.iter().find_map(|&(width, down)| Some((wrapped(width)?, down)));
    let some = |(names, down)| (Some(names), down);
    whole.or_else(|| cut().or_else(tall).map(some)).unwrap_or((None, true))
}

fn share(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), percent)
}

/// Minimum, median and maximum.
fn spread(mut values: Vec<f64>) -> [String; 3] {
    values.sort_by(f64::total_cmp);
    let [Some(min), Some(max)] = [values.first(), values.last()] else {
        return ["-"; 3].map(str::to_owned);
    };
    let middle = values.len() / 2;
    let median = if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    };
    [*min, median, *max].map(percent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_is_between() {
        assert_eq!(spread(vec![0.9, 0.1, 0.2, 0.4]), ["10.0", "30.0", "90.0"]);
        assert_eq!(spread(vec![0.9, 0.1, 0.2]), ["10.0", "20.0", "90.0"]);
        assert_eq!(spread(vec![]), ["-", "-", "-"]);
    }
}
