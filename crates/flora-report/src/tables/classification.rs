use super::{Column, Listing, Page, figures};
use crate::{
    classification::{ClassScore, ClassificationReport, Confused},
    units::{count, percent, percent_or_dash},
};

/// The classes that [`classes`] lists, and their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClassOrder {
    /// All, in the report's order.
    Listed,
    /// At most this number of those that have images: the lowest recall first; on a tie, the class with more images
    /// first, then in the report's order.
    Worst(usize),
}

/// A report on one screen: accuracies in percent, with those of guessing for comparison, and the numbers of images and
/// classes.
pub fn classification(report: &ClassificationReport, page: Page) -> String {
    let tested = report.per_class.iter().filter(|class| class.support > 0).count();
    let classes = if tested == 1 { "class" } else { "classes" };
    let accuracies = [
        ("top-1".to_owned(), Some(report.top1)),
        ("top-5".to_owned(), report.top5),
        (format!("macro (mean over {} {classes})", count(tested)), Some(report.macro_accuracy)),
        ("majority (largest class)".to_owned(), Some(report.majority)),
        ("chance".to_owned(), Some(report.chance)),
    ];
    let row = |(name, share): (String, Option<f64>)| Some([name, percent(share?)]);
    let rows = accuracies.into_iter().filter_map(row).collect();
    let table = figures(["accuracy", "%"], rows, page);

    let without = match report.per_class.len() - tested {
        0 => String::new(),
        empty => format!(", {} of them without images", count(empty)),
    };
    let classes = count(report.classes.len());
    format!("{table}\n\nimages   {}\nclasses  {classes}{without}\n", report.num_images)
}

/// One row per class: images, recall, precision and F1 in percent, and the most frequent wrong prediction. Undefined
/// values are a dash: recall and F1 of a class without images, the precision of a class that is never predicted.
pub fn classes(report: &ClassificationReport, order: ClassOrder, page: Page) -> String {
    let mut classes: Vec<&ClassScore> = report.per_class.iter().collect();
    if let ClassOrder::Worst(most) = order {
        let recall = |class: &ClassScore| class.recall.unwrap_or_default();
        classes.retain(|class| class.support > 0);
        classes.sort_by(|a, b| recall(a).total_cmp(&recall(b)).then(b.support.cmp(&a.support)));
        classes.truncate(most);
    }
    let header = ["class", "most often taken for", "images", "recall", "precision", "F1"];
    let row = |class: &ClassScore| {
        let taken = |Confused { name, count }: &Confused| format!("{name} ({count})");
        vec![
            class.name.clone(),
            class.confused_with.as_ref().map(taken).unwrap_or_default(),
            class.support.to_string(),
            percent_or_dash(class.recall),
            percent_or_dash(class.precision),
            percent_or_dash(class.f1),
        ]
    };
    let rows = classes.into_iter().map(row).collect();
    let columns = [Column::Name; 2].into_iter().chain([Column::Figure; 4]).collect();
    Listing::new(columns, header.map(str::to_owned).into(), rows).show(page)
}
