//! The figures of the program: confusion matrices, partitions and contact sheets.

use std::{io, path::Path};

use flora_core::files::write_atomic_with;

pub use crate::figures::{Tile, contact_sheet};
use crate::{
    ReportError,
    classification::ClassificationReport,
    figures::{Cell, Figure, HeatMap, round_up},
};

const CONFUSION: &str = "confusion matrix";
const PARTITION: &str = "partition";
/// Steps of the colour bar of a partition.
const STEPS: u64 = 4;

/// Writes the figure as PNG, completely or not at all. Creates missing parent folders.
///
/// # Errors
/// [`ReportError::Io`].
pub fn save_png(path: impl AsRef<Path>, figure: &Figure) -> Result<(), ReportError> {
    let path = path.as_ref();
    let png = figure.png(figure.scale())?;
    let write = |out: &mut dyn io::Write| out.write_all(&png);
    write_atomic_with(path, write).map_err(ReportError::io("write", path))
}

/// The confusion matrix of a report: a row for each true class, a column for each predicted one. The colour shows the
/// share of the row's images, so the diagonal is recall; the number in a cell is the number of images. Zeros are left
/// out, and so are all numbers if cells are too small. Rows of classes without images are pale. Long names are
/// shortened. With more than about a hundred classes, only some names are shown, and the axis states how many. The
/// title may have up to three lines.
///
/// # Errors
/// [`ReportError::Figure`] if the report has no classes, more than 2,000, or a matrix that is not square (a matrix read
/// from a file may not be).
pub fn confusion_matrix(report: &ClassificationReport, title: &str) -> Result<Figure, ReportError> {
    let classes = report.classes.len();
    if report.confusion.len() != classes || report.confusion.iter().any(|row| row.len() != classes)
    {
        let problem = format!("the matrix does not have {classes} rows and columns, one per class");
        return Err(ReportError::Figure { figure: CONFUSION, problem });
    }
    let cells = |row: &Vec<u64>| {
        let images = row.iter().sum::<u64>();
        let share = move |count: u64| (images > 0).then(|| count as f64 / images as f64);
        let cell = |&count: &u64| Cell { value: share(count), count: (count > 0).then_some(count) };
        row.iter().map(cell).collect::<Vec<_>>()
    };
    HeatMap {
        kind: CONFUSION,
        title: title.to_owned(),
        note: String::new(),
        row_axis: "true class".to_owned(),
        rows: report.classes.clone(),
        column_axis: "predicted class".to_owned(),
        columns: report.classes.clone(),
        cells: report.confusion.iter().flat_map(cells).collect(),
        range: (0.0, 1.0),
        decimals: 2,
        scale: "share of the row".to_owned(),
        square: true,
    }
    .draw()
}

/// The number of training images of each class that every client has, `counts[client][class]`: a row for each class, a
/// column for each client. Classes that a client lacks are pale grey; the numbers are written into the cells if there
/// is room. Long names are shortened. If not all classes or clients can be labelled, the axis states how many are. The
/// title may have up to three lines.
///
/// # Errors
/// [`ReportError::Figure`] for no classes or clients, more than 2,000, or counts whose shape does not match them.
pub fn partition(
    clients: &[String],
    classes: &[String],
    counts: &[Vec<usize>],
    title: &str,
) -> Result<Figure, ReportError> {
    if counts.len() != clients.len() || counts.iter().any(|row| row.len() != classes.len()) {
        let (clients, classes) = (clients.len(), classes.len());
        let problem = format!("the counts do not match {clients} clients and {classes} classes");
        return Err(ReportError::Figure { figure: PARTITION, problem });
    }
    let by_class =
        || (0..classes.len()).flat_map(|class| counts.iter().map(move |client| client[class]));
    let cell = |count: usize| match count {
        0 => Cell::default(),
        count => Cell { value: Some(count as f64), count: Some(count as u64) },
    };
    // At least one image per step, because the bar counts images.
    let most = by_class().max().unwrap_or(0) as f64;
    let step = round_up(most / STEPS as f64).max(1.0).ceil();
    HeatMap {
        kind: PARTITION,
        title: title.to_owned(),
        note: String::new(),
        row_axis: "class".to_owned(),
        rows: classes.to_vec(),
        column_axis: "client".to_owned(),
        columns: clients.to_vec(),
        cells: by_class().map(cell).collect(),
        range: (0.0, step * STEPS as f64),
        decimals: 0,
        scale: "training images (grey: none)".to_owned(),
        square: false,
    }
    .draw()
}
