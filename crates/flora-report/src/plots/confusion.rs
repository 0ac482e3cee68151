use image::RgbImage;

use super::heat_map::{HeatMap, heat_map};
use crate::{ReportError, classification::ClassificationReport};

const FIGURE: &str = "confusion matrix";

/// The confusion matrix of a report: a row for each true class, a column for each predicted one. The
/// colour is the share of the row's images (so the diagonal is recall), the number in a cell how many
/// they are; zeros are left out, and all numbers where cells are too small. Rows of classes without
/// images are pale. Long names are shortened, and with more than about a hundred classes only some
/// are shown, and the axis says how many. The title may have up to three lines.
///
/// # Errors
/// [`ReportError::Figure`] if the report has no classes, more than 2,000, or a matrix that is not
/// square (one that was read from a file may not be).
pub fn confusion_matrix(
    report: &ClassificationReport,
    title: &str,
) -> Result<RgbImage, ReportError> {
    let classes = report.classes.len();
    if report.confusion.len() != classes || report.confusion.iter().any(|row| row.len() != classes)
    {
        let problem = format!("the matrix does not have {classes} rows and columns, one a class");
        return Err(ReportError::Figure { figure: FIGURE, problem });
    }
    // Without images in the row, 0 / 0 is NaN: no value.
    let shares = |row: &Vec<u64>| {
        let images = row.iter().map(|&count| count as f64).sum::<f64>();
        row.iter().map(|&count| count as f64 / images).collect::<Vec<_>>()
    };
    let values: Vec<f64> = report.confusion.iter().flat_map(shares).collect();
    let number = |&count: &u64| if count == 0 { String::new() } else { count.to_string() };
    let cells: Vec<String> = report.confusion.iter().flatten().map(number).collect();
    heat_map(&HeatMap {
        figure: FIGURE,
        title,
        row_axis: "true class",
        rows: &report.classes,
        column_axis: "predicted class",
        columns: &report.classes,
        values: &values,
        range: (0.0, 1.0),
        decimals: 2,
        scale: "share of the row",
        cells: &cells,
        square: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classification::Tally;

    fn report(supports: &[usize]) -> ClassificationReport {
        let names = (0..supports.len()).map(|index| format!("class {index}")).collect();
        let mut tally = Tally::new(names).unwrap();
        for (class, &support) in supports.iter().enumerate() {
            let mut scores = vec![0.0; supports.len()];
            scores[class] = 1.0;
            for _ in 0..support {
                tally.add(class, &scores).unwrap();
            }
        }
        tally.report().unwrap()
    }

    #[test]
    fn colours_are_shares_of_the_row() {
        // So many classes that cells have no numbers.
        let few = confusion_matrix(&report(&[1; 120]), "").unwrap();
        let many: Vec<usize> = (1..=120).collect();
        assert_eq!(few, confusion_matrix(&report(&many), "").unwrap());
        let mut without = vec![1; 120];
        without[60] = 0;
        assert_ne!(few, confusion_matrix(&report(&without), "").unwrap());
    }
}
