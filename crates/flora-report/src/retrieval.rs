//! Retrieval scores of texts and images.

use serde::Serialize;

use crate::sweep::Spread;
use crate::tables::{self, Page};
use crate::units::percent_or_dash;

/// Recall among the first results, 0..1; `None` without queries.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Recall {
    /// Recall at 1.
    pub at_1: Option<f64>,
    /// Recall at 5.
    pub at_5: Option<f64>,
    /// Recall at 10.
    pub at_10: Option<f64>,
    /// The median rank.
    pub median_rank: Option<f64>,
    /// Number of candidates.
    pub candidates: usize,
    /// Number of queries.
    pub queries: usize,
}

/// Retrieval over the images of one domain.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RetrievalReport {
    /// The domain, or the data set.
    pub name: String,
    /// From an image to its text.
    pub image_to_text: Recall,
    /// From a text to an image of it.
    pub text_to_image: Recall,
}

impl Recall {
    /// Of ranks from 1.
    pub fn of(ranks: &[usize], candidates: usize) -> Self {
        let count = ranks.len();
        let within = |most| {
            let found = ranks.iter().filter(|&&rank| rank <= most).count();
            (count > 0).then(|| found as f64 / count as f64)
        };
        let mut sorted = ranks.to_vec();
        sorted.sort_unstable();
        // The middle one, or the mean of the two in the middle.
        let middle = |at: usize| sorted.get(at).map(|&rank| rank as f64);
        let upper = middle(count / 2);
        let lower = middle(count.saturating_sub(1) / 2);
        let median_rank = lower.zip(upper).map(|(lower, upper)| (lower + upper) / 2.0);
        let [at_1, at_5, at_10] = [1, 5, 10].map(within);
        Self { at_1, at_5, at_10, median_rank, candidates, queries: count }
    }
}

/// One line for each report, and their mean if there are several.
pub fn table(reports: &[RetrievalReport], page: Page) -> String {
    let line = |recall: &Recall| {
        let shares = [recall.at_1, recall.at_5, recall.at_10].map(percent_or_dash);
        let rank = recall.median_rank.map_or_else(|| "-".to_owned(), |rank| rank.to_string());
        [shares.join(" / "), rank]
    };
    let mut rows: Vec<[String; 6]> = reports
        .iter()
        .map(|report| {
            let [found_text, text_rank] = line(&report.image_to_text);
            let [found_image, image_rank] = line(&report.text_to_image);
            let (images, texts) = (report.image_to_text.queries, report.image_to_text.candidates);
            let size = format!("{images} / {texts}");
            [report.name.clone(), size, found_text, text_rank, found_image, image_rank]
        })
        .collect();
    if reports.len() > 1 {
        let mean = |side: fn(&RetrievalReport) -> &Recall| {
            let of = |value: fn(&Recall) -> Option<f64>| {
                let values: Vec<f64> =
                    reports.iter().filter_map(|report| value(side(report))).collect();
                Spread::of(&values).map(|spread| spread.mean)
            };
            let shares = [of(|it| it.at_1), of(|it| it.at_5), of(|it| it.at_10)];
            shares.map(percent_or_dash).join(" / ")
        };
        let none = String::new;
        let (text, image) = (mean(|it| &it.image_to_text), mean(|it| &it.text_to_image));
        rows.push(["mean".into(), none(), text, none(), image, none()]);
    }
    let header = [
        "",
        "images / texts",
        "image to text, R@1 / 5 / 10 %",
        "median rank",
        "text to image, R@1 / 5 / 10 %",
        "median rank",
    ];
    tables::figures(header, rows, page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recall_counts_what_comes_early() {
        let recall = Recall::of(&[1, 2, 6, 11, 700, 10], 900);
        let shares = [1.0 / 6.0, 2.0 / 6.0, 4.0 / 6.0].map(Some);
        assert_eq!([recall.at_1, recall.at_5, recall.at_10], shares);
        assert_eq!((recall.median_rank, recall.queries, recall.candidates), (Some(8.0), 6, 900));
        assert_eq!(Recall::of(&[3, 9, 4], 10).median_rank, Some(4.0));
        let none = Recall::of(&[], 10);
        assert_eq!((none.at_1, none.at_10, none.median_rank, none.queries), (None, None, None, 0));
    }

    #[test]
    fn the_mean_is_over_domains() {
        let report = |name: &str, ranks: &[usize]| RetrievalReport {
            name: name.into(),
            image_to_text: Recall::of(ranks, 50),
            text_to_image: Recall::of(ranks, 2),
        };
        let reports = [report("a", &[1, 1, 1]), report("b", &[20])];
        let text = table(&reports, Page::Plain);
        assert!(text.contains("mean") && text.contains("50.0 / 50.0 / 50.0"), "{text}");
        assert!(!table(&[report("a", &[1])], Page::Plain).contains("mean"));
        let narrow = table(&reports, Page::Terminal(80));
        assert!(narrow.lines().all(|line| line.chars().count() <= 80), "{narrow}");
        // Without queries, there are no scores.
        let reports = [report("a", &[1, 1, 1]), report("b", &[20]), report("c", &[])];
        let text = table(&reports, Page::Plain);
        assert!(text.contains("50.0 / 50.0 / 50.0") && text.contains("- / - / -"), "{text}");
    }
}
