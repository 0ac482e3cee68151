use super::{Column, Listing, Page, figures};
use crate::{
    classification::{ClassScore, ClassificationReport, Confused},
    units::{count, percent},
};

/// Which classes [`classes`] lists, and in which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClassOrder {
    /// All, in the report's order.
    Listed,
    /// At most so many of those that have images: the lowest recall first; of equal ones that with
    /// more images, then that which the report lists first.
    Worst(usize),
}

/// A report on one screen: accuracies in percent, beside what seeing nothing would score, and how
/// many images and classes there are.
pub fn classification(report: &ClassificationReport, page: Page) -> String {
    let accuracies = [
        ("top-1", Some(report.top1)),
        ("top-5", report.top5),
        ("macro (mean over classes)", Some(report.macro_accuracy)),
        ("majority (largest class)", Some(report.majority)),
        ("chance", Some(report.chance)),
    ];
    let row = |(name, share): (&str, Option<f64>)| Some([name.to_owned(), percent(share?)]);
    let rows = accuracies.into_iter().filter_map(row).collect();
    let table = figures(["accuracy", "%"], rows, page);

    let empty = report.per_class.iter().filter(|class| class.support == 0).count();
    let without = match empty {
        0 => String::new(),
        _ => format!(", {} of them without images", count(empty)),
    };
    let classes = count(report.classes.len());
    format!("{table}\n\nimages   {}\nclasses  {classes}{without}\n", report.num_images)
}

/// One row a class: images, recall, precision and F1 in percent, and what it was most often taken
/// for. A recall without images is a dash.
pub fn classes(report: &ClassificationReport, order: ClassOrder, page: Page) -> String {
    let mut classes: Vec<&ClassScore> = report.per_class.iter().collect();
    if let ClassOrder::Worst(most) = order {
        classes.retain(|class| class.support > 0);
        classes.sort_by(|a, b| a.recall.total_cmp(&b.recall).then(b.support.cmp(&a.support)));
        classes.truncate(most);
    }
    let header = ["class", "most often taken for", "images", "recall", "precision", "F1"];
    let row = |class: &ClassScore| {
        let taken = |Confused { name, count }: &Confused| format!("{name} ({count})");
        vec![
            class.name.clone(),
            class.confused_with.as_ref().map(taken).unwrap_or_default(),
            class.support.to_string(),
            if class.support == 0 { "-".to_owned() } else { percent(class.recall) },
            percent(class.precision),
            percent(class.f1),
        ]
    };
    let rows = classes.into_iter().map(row).collect();
    let columns = [Column::Name; 2].into_iter().chain([Column::Figure; 4]).collect();
    Listing::new(columns, header.map(str::to_owned).into(), rows).show(page)
}
