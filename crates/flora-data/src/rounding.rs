//! Rounding of tables that preserves their sums.

/// An item of a table of shares: a share is an integer in units of 1 / [`UNIT`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cell {
    pub(crate) row: usize,
    pub(crate) column: usize,
    pub(crate) units: u64,
}

/// Millionths: fine enough for any written share, with exact sums.
pub(crate) const UNIT: u64 = 1_000_000;

/// Rounds every cell up or down to an integer so that the sums of every row, every column and the whole table are also
/// their exact values rounded up or down. Integers stay unchanged.
///
/// Such a rounding always exists. This is the method of L. H. Cox, "A Constructive Procedure for Unbiased Controlled
/// Rounding", Journal of the American Statistical Association 82 (1987). An additional row and column make all sums
/// integers. Every fractional cell then has another one in its row and in its column, so these form a cycle.
/// Alternately adding and subtracting along the cycle changes no sum, until a cell becomes an integer. Cox draws the
/// direction at random; this takes the shorter one, as rounding does. The order of the cells breaks ties.
pub(crate) fn round_table(cells: &[Cell]) -> Vec<usize> {
    let rows = cells.iter().map(|cell| cell.row + 1).max().unwrap_or(0);
    let columns = cells.iter().map(|cell| cell.column + 1).max().unwrap_or(0);
    let mut table = cells.to_vec();
    fill_up(&mut table, rows, columns);
    // The corners of cycles: rows, then columns.
    let ends = |cell: &Cell| [cell.row, rows + 1 + cell.column];
    let mut at: Vec<Vec<usize>> = vec![Vec::new(); rows + columns + 2];
    for (index, cell) in table.iter().enumerate().rev() {
        for end in ends(cell) {
            at[end].push(index);
        }
    }
    let mut places = vec![None; at.len()];
    for start in 0..at.len() {
        while let Some(ring) = ring(start, &table, &mut at, &mut places, ends) {
            shift(&mut table, &ring);
        }
    }
    table[..cells.len()].iter().map(|cell| (cell.units / UNIT) as usize).collect()
}

/// Adds a row and a column that make all sums integers.
fn fill_up(table: &mut Vec<Cell>, rows: usize, columns: usize) {
    let mut by_row = vec![0; rows];
    let mut by_column = vec![0; columns];
    for cell in table.iter() {
        by_row[cell.row] += cell.units;
        by_column[cell.column] += cell.units;
    }
    let lacking = |sum: u64| (UNIT - sum % UNIT) % UNIT;
    let corner = lacking(by_row.iter().map(|&sum| lacking(sum)).sum());
    let beside = by_row.iter().enumerate();
    table.extend(beside.map(|(row, &sum)| Cell { row, column: columns, units: lacking(sum) }));
    let below = by_column.iter().enumerate();
    table.extend(below.map(|(column, &sum)| Cell { row: rows, column, units: lacking(sum) }));
    table.push(Cell { row: rows, column: columns, units: corner });
}

/// A cycle of fractional cells, each of which shares its row with one neighbour and its column with the other; `None`
/// if `start` has no such cell. `places` is all `None` before and after.
fn ring(
    start: usize,
    table: &[Cell],
    at: &mut [Vec<usize>],
    places: &mut [Option<usize>],
    ends: impl Fn(&Cell) -> [usize; 2],
) -> Option<Vec<usize>> {
    let is_open = |&index: &usize| !table[index].units.is_multiple_of(UNIT);
    let (mut here, mut path, mut seen) = (start, Vec::new(), Vec::new());
    let begin = loop {
        if let Some(place) = places[here] {
            break place;
        }
        places[here] = Some(path.len());
        seen.push(here);
        while at[here].last().is_some_and(|index| !is_open(index)) {
            at[here].pop();
        }
        let mut others = at[here].iter().rev().copied();
        let next = others.find(|index| is_open(index) && Some(index) != path.last());
        // Only at the start of the walk: since sums are integers, a fractional cell has a fractional neighbour.
        let Some(next) = next else { break path.len() };
        path.push(next);
        let [row, column] = ends(&table[next]);
        here = if here == row { column } else { row };
    };
    for corner in seen {
        places[corner] = None;
    }
    let ring = path.split_off(begin);
    (!ring.is_empty()).then_some(ring)
}

/// Alternately adds to and subtracts from the cells, until one is an integer.
fn shift(table: &mut [Cell], ring: &[usize]) {
    let room = |up: bool| {
        let steps = ring.iter().enumerate().map(|(place, &index)| {
            let rest = table[index].units % UNIT;
            if place.is_multiple_of(2) == up { UNIT - rest } else { rest }
        });
        steps.min().unwrap_or(0)
    };
    let (up, down) = (room(true), room(false));
    for (place, &index) in ring.iter().enumerate() {
        let units = &mut table[index].units;
        match (up <= down, place.is_multiple_of(2)) {
            (true, true) => *units += up,
            (true, false) => *units -= up,
            (false, true) => *units -= down,
            (false, false) => *units += down,
        }
    }
}

#[cfg(test)]
mod tests {
    use flora_core::seed;
    use rand::RngExt;

    use super::*;

    /// Whether `rounded` is `units`, rounded up or down.
    fn is_near(rounded: usize, units: u64) -> bool {
        (units / UNIT..=units.div_ceil(UNIT)).contains(&(rounded as u64))
    }

    #[test]
    fn cells_and_sums_are_rounded_up_or_down() {
        let mut rng = seed::stream(1, "test");
        for case in 0..400 {
            let (rows, columns) = (rng.random_range(1..12), rng.random_range(1..12));
            let mut cells = Vec::new();
            for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |c| (row, c))) {
                if rng.random_bool(0.7) {
                    // Few sizes make integer sums frequent; sometimes any size.
                    let units = match case % 2 {
                        0 => rng.random_range(0..20) * UNIT / 5,
                        _ => rng.random_range(0..5 * UNIT),
                    };
                    cells.push(Cell { row, column, units });
                }
            }
            let rounded = round_table(&cells);
            assert_eq!(rounded.len(), cells.len());
            let near = |of: &dyn Fn(&Cell) -> bool| {
                let some = || cells.iter().zip(&rounded).filter(|(cell, _)| of(cell));
                let sum = some().map(|(_, &rounded)| rounded).sum();
                is_near(sum, some().map(|(cell, _)| cell.units).sum())
            };
            assert!(cells.iter().zip(&rounded).all(|(cell, &one)| is_near(one, cell.units)));
            assert!((0..rows).all(|row| near(&|cell| cell.row == row)), "{cells:?} {rounded:?}");
            assert!((0..columns).all(|column| near(&|cell| cell.column == column)), "{cells:?}");
            assert!(near(&|_| true));
        }
    }

    #[test]
    fn one_row_goes_to_whoever_is_nearest() {
        let row = |shares: &[u64]| {
            let cell = |(column, &units)| Cell { row: 0, column, units };
            round_table(&shares.iter().enumerate().map(cell).collect::<Vec<_>>())
        };
        assert_eq!(row(&[1_900_000, 200_000, 900_000]), [2, 0, 1]);
        assert_eq!(row(&[2_000_000, 0]), [2, 0]);
        assert!(row(&[]).is_empty());
    }

    #[test]
    fn ten_thousand_rows_take_no_time() {
        let cell = |n: usize| Cell { row: n / 5, column: n * 7 % 100, units: 200_000 };
        let rounded = round_table(&(0..50_000).map(cell).collect::<Vec<_>>());
        assert_eq!(rounded.iter().sum::<usize>(), 10_000);
    }
}
