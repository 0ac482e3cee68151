//! The numbers of a classifier, against definitions and a recount.

use flora_core::seed;
use flora_report::{
    ReportError,
    classification::{ClassificationReport, Confused, Tally},
    tables::{self, ClassOrder, Page},
};
use rand::RngExt;
use serde::Deserialize;

fn names(count: usize) -> Vec<String> {
    (0..count).map(|class| format!("class-{class}")).collect()
}

/// A report of images with these true and predicted classes.
fn report(classes: &[&str], pairs: &[(usize, usize)]) -> ClassificationReport {
    let mut tally = Tally::new(classes.iter().map(|&name| name.to_owned()).collect()).unwrap();
    for &(true_class, predicted) in pairs {
        let mut scores = vec![0.0; classes.len()];
        scores[predicted] = 1.0;
        tally.add(true_class, &scores).unwrap();
    }
    tally.report().unwrap()
}

fn assert_near(found: f64, expected: f64, what: &str) {
    assert!((found - expected).abs() < 1e-12, "{what}: {found}, expected {expected}");
}

fn assert_same(found: Option<f64>, expected: Option<f64>, what: &str) {
    match (found, expected) {
        (Some(found), Some(expected)) => assert_near(found, expected, what),
        _ => assert_eq!(found, expected, "{what}"),
    }
}

#[derive(Deserialize)]
struct Fixture {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    classes: usize,
    #[serde(rename = "true")]
    truth: Vec<usize>,
    predicted: Vec<usize>,
    precision: Vec<Option<f64>>,
    recall: Vec<Option<f64>>,
    f1: Vec<Option<f64>>,
    support: Vec<u64>,
    balanced_accuracy: f64,
}

#[test]
fn scikit_learn_says_the_same_of_absent_classes() {
    let fixture: Fixture =
        serde_json::from_str(include_str!("fixtures/classification/scores.json")).unwrap();
    let (mut absent, mut unsaid) = (0, 0);
    for case in fixture.cases {
        let pairs: Vec<_> = case.truth.into_iter().zip(case.predicted).collect();
        let names = names(case.classes);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let report = report(&names, &pairs);
        assert_near(report.macro_accuracy, case.balanced_accuracy, "balanced accuracy");
        for (class, score) in report.per_class.iter().enumerate() {
            assert_eq!(score.support, case.support[class]);
            assert_same(score.recall, case.recall[class], "recall");
            assert_same(score.precision, case.precision[class], "precision");
            // scikit-learn says 0 where such a class is predicted.
            let f1 = if score.support == 0 { None } else { case.f1[class] };
            assert_same(score.f1, f1, "F1");
            absent += usize::from(score.support == 0);
            unsaid += usize::from(score.precision.is_none());
        }
    }
    assert!(absent > 10 && unsaid > 10, "{absent} {unsaid}");
}

#[test]
fn the_numbers_are_scikit_learns() {
    // By hand, from scikit-learn's definitions with zero_division=np.nan:
    //   y_true = [0, 0, 0, 1, 1, 2], y_pred = [0, 0, 1, 1, 2, 2], labels = [0, 1, 2, 3]
    // `none` is never true and never predicted; balanced_accuracy_score leaves it out.
    let report =
        report(&["cat", "dog", "bird", "none"], &[(0, 0), (0, 0), (0, 1), (1, 1), (1, 2), (2, 2)]);
    assert_eq!(report.num_images, 6);
    assert_near(report.top1, 4.0 / 6.0, "accuracy");
    assert_eq!(report.top5, None);
    assert_near(report.macro_accuracy, (2.0 / 3.0 + 1.0 / 2.0 + 1.0) / 3.0, "balanced accuracy");
    assert_near(report.majority, 0.5, "majority");
    assert_near(report.chance, 0.25, "chance");
    let expected = [
        (3, 2, Some(2.0 / 3.0), Some(1.0), Some(0.8)),
        (2, 1, Some(0.5), Some(0.5), Some(0.5)),
        (1, 1, Some(1.0), Some(0.5), Some(2.0 / 3.0)),
        (0, 0, None, None, None),
    ];
    for (class, (support, correct, recall, precision, f1)) in report.per_class.iter().zip(expected)
    {
        assert_eq!((class.support, class.correct), (support, correct), "{}", class.name);
        assert_same(class.recall, recall, "recall");
        assert_same(class.precision, precision, "precision");
        assert_same(class.f1, f1, "F1");
    }
    assert_eq!(report.num_tested_classes, 3);
    let json = serde_json::to_value(&report).unwrap();
    assert!(["recall", "precision", "f1"].iter().all(|key| json["per_class"][3][key].is_null()));
    assert_eq!(
        report.confusion,
        [[2, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]].map(Vec::from)
    );
    let confused = |class: usize| report.per_class[class].confused_with.clone();
    assert_eq!(confused(0), Some(Confused { name: "dog".to_owned(), count: 1 }));
    assert_eq!(confused(2), None);
    assert_eq!(confused(3), None);
}

#[test]
fn a_class_that_is_predicted_but_never_true_has_a_precision_of_zero() {
    // y_true = [0, 0, 0, 0], y_pred = [1, 1, 0, 2], labels = [0, 1, 2]; balanced accuracy 1 / 4.
    let report = report(&["a", "b", "c"], &[(0, 1), (0, 1), (0, 0), (0, 2)]);
    assert_near(report.macro_accuracy, 0.25, "balanced accuracy");
    assert_near(report.majority, 1.0, "majority");
    assert_same(report.per_class[0].precision, Some(1.0), "precision");
    assert_same(report.per_class[0].f1, Some(0.4), "F1");
    assert_eq!(report.per_class[1].precision, Some(0.0));
    assert_eq!((report.per_class[1].recall, report.per_class[1].f1), (None, None));
    assert_eq!(report.per_class[0].confused_with.as_ref().unwrap().name, "b");
}

#[test]
fn ties_fall_to_the_class_that_is_listed_first() {
    let mut tally = Tally::new(names(7)).unwrap();
    for true_class in 0..7 {
        tally.add(true_class, &[0.5; 7]).unwrap();
    }
    let report = tally.report().unwrap();
    assert_near(report.top1, 1.0 / 7.0, "top-1");
    assert_near(report.top5.unwrap(), 5.0 / 7.0, "top-5");
    assert_eq!(report.per_class[0].precision, Some(1.0 / 7.0));

    // Minus zero is zero; infinities are numbers.
    let mut tally = Tally::new(names(2)).unwrap();
    tally.add(1, &[-0.0, 0.0]).unwrap();
    tally.add(1, &[f32::NEG_INFINITY, f32::INFINITY]).unwrap();
    assert_eq!(tally.report().unwrap().confusion, [[0, 0], [1, 1]].map(Vec::from));
}

/// Everything anew from a stable sort, without the confusion matrix.
fn recount(classes: usize, labels: &[usize], scores: &[f32]) -> (Vec<usize>, f64, f64) {
    let ranked = |row: &[f32]| {
        let mut order: Vec<usize> = (0..classes).collect();
        order.sort_by(|&a, &b| row[b].partial_cmp(&row[a]).unwrap());
        order
    };
    let ranks: Vec<Vec<usize>> = scores.chunks(classes).map(ranked).collect();
    let predicted: Vec<usize> = ranks.iter().map(|order| order[0]).collect();
    let share = |most: usize| {
        let hits = ranks.iter().zip(labels);
        let hits = hits.filter(|(order, label)| order.iter().take(most).any(|c| c == *label));
        hits.count() as f64 / labels.len() as f64
    };
    let (top1, top5) = (share(1), share(5));
    (predicted, top1, top5)
}

#[test]
fn random_reports_agree_with_a_recount() {
    let mut random = seed::stream(11, "classification reports");
    for case in 0..400 {
        let classes = random.random_range(1..12);
        let images = random.random_range(1..60);
        // Few distinct scores: many ties.
        let levels = random.random_range(1..6);
        let labels: Vec<usize> = (0..images).map(|_| random.random_range(0..classes)).collect();
        let scores: Vec<f32> =
            (0..images * classes).map(|_| random.random_range(0..levels) as f32).collect();
        let mut tally = Tally::new(names(classes)).unwrap();
        tally.add_all(&labels, &scores).unwrap();
        let report = tally.report().unwrap();

        let (predicted, top1, top5) = recount(classes, &labels, &scores);
        assert_near(report.top1, top1, "top-1");
        match report.top5 {
            Some(share) => assert_near(share, top5, "top-5"),
            None => assert!(classes < 6, "case {case}"),
        }
        let pairs = || labels.iter().zip(&predicted);
        let mut recalls = Vec::new();
        for class in 0..classes {
            let of = labels.iter().filter(|&&label| label == class).count();
            let said = predicted.iter().filter(|&&label| label == class).count();
            let both = pairs().filter(|&(a, b)| *a == class && *b == class).count();
            let share = |whole: usize| (whole > 0).then(|| both as f64 / whole as f64);
            let (recall, precision) = (share(of), share(said));
            let score = &report.per_class[class];
            assert_eq!((score.support, score.correct), (of as u64, both as u64), "case {case}");
            assert_same(score.recall, recall, "recall");
            assert_same(score.precision, precision, "precision");
            let f1 = recall.map(|recall| match precision {
                Some(precision) if recall > 0.0 => 2.0 * recall * precision / (recall + precision),
                _ => 0.0,
            });
            assert_same(score.f1, f1, "F1");
            recalls.extend(recall);
            let taken = |other: usize| pairs().filter(|&(a, b)| (*a, *b) == (class, other)).count();
            for other in 0..classes {
                assert_eq!(report.confusion[class][other], taken(other) as u64, "case {case}");
            }
            let wrong = (0..classes).filter(|&other| other != class).map(taken).max();
            let count = score.confused_with.as_ref().map_or(0, |confused| confused.count);
            assert_eq!(count, wrong.unwrap_or(0) as u64, "case {case}");
        }
        let mean = recalls.iter().sum::<f64>() / recalls.len() as f64;
        assert_near(report.macro_accuracy, mean, "macro");

        // serde_json reads shares back to the last bit but one.
        let json = serde_json::to_string(&report).unwrap();
        let read: ClassificationReport = serde_json::from_str(&json).unwrap();
        assert_eq!((&read.classes, &read.confusion), (&report.classes, &report.confusion));
        assert_near(read.macro_accuracy, report.macro_accuracy, "macro from JSON");
        assert_eq!(read.top5.is_some(), report.top5.is_some());
    }
}

#[test]
fn what_cannot_be_counted_is_told_by_image_and_not_counted() {
    let mut tally = Tally::new(names(3)).unwrap();
    tally.add(0, &[1.0, 0.0, 0.0]).unwrap();
    for (true_class, scores, expected) in [
        (3, &[0.0, 0.0, 0.0][..], "its true class is 3, but there are 3"),
        (0, &[0.0, 0.0][..], "there are 2 scores for 3 classes"),
        (0, &[0.0, f32::NAN, 0.0][..], "the score of class 1 (`class-1`) is not a number"),
    ] {
        let error = tally.add(true_class, scores).unwrap_err();
        assert!(matches!(error, ReportError::Scores { image: 1, .. }), "{error:?}");
        assert_eq!(error.to_string(), format!("image 1 (counted from 0): {expected}"));
    }
    let error = tally.add_all(&[0, 1], &[0.0; 5]).unwrap_err();
    assert!(error.to_string().contains("there are 5 for 2 images and 3 classes"), "{error}");
    assert_eq!(tally.num_images(), 1);

    assert!(matches!(Tally::new(Vec::new()), Err(ReportError::Classes(_))));
    assert!(matches!(Tally::new(names(10_001)), Err(ReportError::Classes(_))));
    let error = Tally::new(names(2)).unwrap().report().unwrap_err();
    assert_eq!(error.to_string(), "scores: there are none: add at least one image");
}

#[test]
fn tables_of_a_report() {
    let report =
        report(&["cat", "dog", "bird", "none"], &[(0, 0), (0, 0), (0, 1), (1, 1), (1, 2), (2, 2)]);
    assert_eq!(
        tables::classification(&report, Page::Terminal(80)),
        "\
accuracy                        %
─────────────────────────────────
top-1                        66.7
macro (mean over 3 classes)  72.2
majority (largest class)     50.0
chance                       25.0

images   6
classes  4, 1 of them without images
"
    );
    assert_eq!(
        tables::classes(&report, ClassOrder::Listed, Page::Terminal(80)),
        "\
class  most often taken for  images  recall  precision    F1
────────────────────────────────────────────────────────────
cat    dog (1)                    3    66.7      100.0  80.0
dog    bird (1)                   2    50.0       50.0  50.0
bird                              1   100.0       50.0  66.7
none                              0       -          -     -"
    );
    let first_words = |order| {
        let table = tables::classes(&report, order, Page::Terminal(80));
        let word = |line: &str| line.split_whitespace().next().unwrap().to_owned();
        table.lines().skip(2).map(word).collect::<Vec<_>>()
    };
    assert_eq!(first_words(ClassOrder::Worst(usize::MAX)), ["dog", "cat", "bird"]);
    assert_eq!(first_words(ClassOrder::Worst(1)), ["dog"]);
    assert!(first_words(ClassOrder::Worst(0)).is_empty());
}

#[test]
fn tables_of_long_names_fit_a_terminal() {
    let long = [
        "a class whose name goes on and on and says very little all the while",
        "b".repeat(90).as_str(),
    ]
    .map(str::to_owned);
    let long: Vec<&str> = long.iter().map(String::as_str).collect();
    let report = report(&long, &[(0, 1), (1, 0)]);
    let table = tables::classes(&report, ClassOrder::Listed, Page::Terminal(80));
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
}
