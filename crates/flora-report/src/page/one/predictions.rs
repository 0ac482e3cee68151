//! Predictions: confusions, and examples before and after training.

use flora_core::{shell::quoted, text::printable};
use maud::{Markup, html};

use crate::{
    page::{
        charts::{Counts, Heat},
        data::{AFTER, Guess, Image, Predictions, Run},
        html::{Chart, Section, Table, Tone, callout, charts, command},
        thumbnails::thumbnail,
    },
    units::{self, percent},
};

/// Images that are shown.
const MOST_EXAMPLES: usize = 24;

pub(super) fn section(run: &Run) -> Section {
    let content = match &run.predictions {
        Some(predictions) if !predictions.images.is_empty() => shown(run, predictions),
        _ => missing(run),
    };
    Section::new("predictions", "Predictions", content)
}

/// How to get them.
fn missing(run: &Run) -> Markup {
    html! {
        p {
            "The folder holds no predictions of single images. This command makes the report with them, of the model "
            "before training and after it:"
        }
        (command(&again(run)))
    }
}

/// The command that makes this report with predictions.
fn again(run: &Run) -> String {
    format!("flora report {} --predictions --overwrite", quoted(&run.path))
}

fn shown(run: &Run, predictions: &Predictions) -> Markup {
    let (after, before) = predictions.accuracies();
    let count = units::count(predictions.images.len());
    let shares = match (after, before) {
        (Some(after), Some(before)) => {
            format!(
                "{} % of {count} images are right, {} % before training.",
                percent(after),
                percent(before)
            )
        }
        (Some(after), None) => format!("{} % of {count} images are right.", percent(after)),
        _ => String::new(),
    };
    let (now, then) = (predictions.confusion(), predictions.confusion_before());
    let mistakes = confused(predictions, &now, then.as_ref());
    let mut confusions = Vec::new();
    confusions.extend(confusion(predictions, now, "after training", "confusion"));
    if let Some(counts) = then {
        confusions.extend(confusion(predictions, counts, "before training", "confusion-before"));
    }
    html! {
        p { (shares) " Each image counts once here; the accuracies above are means over clients." }
        @for note in &predictions.notes { (callout(Tone::Warning, note)) }
        (charts(&confusions))
        (mistakes.html())
        @if !predictions.has_before {
            p { "The predictions before training are missing. This command makes the report with them:" }
            (command(&again(run)))
        }
        h3 { "Examples" }
        (gallery(predictions))
    }
}

fn confusion(
    predictions: &Predictions,
    counts: Counts,
    when: &str,
    id: &'static str,
) -> Option<Chart> {
    let right: u64 = counts.iter().filter(|((a, b), _)| a == b).map(|(_, count)| count).sum();
    Heat {
        id,
        title: format!("Confusions {when}"),
        says: format!(
            "Rows are true classes, columns are predicted classes. {} images are on the diagonal.",
            units::count(right as usize)
        ),
        of: ["true class", "prediction"],
        rows: predictions.classes.clone(),
        columns: predictions.classes.clone(),
        counts,
    }
    .chart()
}

/// The most frequent mistakes.
fn confused(predictions: &Predictions, counts: &Counts, before: Option<&Counts>) -> Table {
    let wrong = counts.iter().filter(|((label, class), _)| label != class);
    let mut pairs: Vec<(u64, usize, usize)> =
        wrong.map(|(&(label, class), &count)| (count, label, class)).collect();
    pairs.sort_by_key(|&(count, label, class)| (std::cmp::Reverse(count), label, class));
    let mut head = vec!["true class", "taken for", "images"];
    head.extend(before.map(|_| "before training"));
    let mut table = Table::new("The most frequent mistakes", head).text();
    for (count, label, class) in pairs.into_iter().take(10) {
        let names = [label, class].map(|at| predictions.classes[at].clone());
        let mut row = Vec::from(names);
        row.push(count.to_string());
        let then = |counts: &Counts| counts.get(&(label, class)).copied().unwrap_or(0);
        row.extend(before.map(|before| then(before).to_string()));
        table.row(row);
    }
    if table.rows.is_empty() {
        table.notes.push("No mistakes.".to_owned());
    }
    table
}

/// Images with what they are taken for, of each kind of outcome some.
fn gallery(predictions: &Predictions) -> Markup {
    let mut lost = 0;
    let mut cards = Vec::new();
    for image in examples(&predictions.images) {
        let picture = thumbnail(image.path.as_ref());
        lost += usize::from(picture.is_none());
        cards.push(html! {
            li {
                figure {
                    @match picture {
                        Some(data) => { img src=(data) alt=(alternative(predictions, image)) width="96" height="96"; }
                        None => { div class="nothing" role="img" aria-label="The image file is missing" {} }
                    }
                    figcaption {
                        strong { (printable(&predictions.classes[image.label])) }
                        @if let Some(before) = image.before {
                            (guess(predictions, image, before, "before"))
                        }
                        (guess(predictions, image, image.after, "after"))
                    }
                }
            }
        });
    }
    html! {
        p {
            "The true class is in bold; below it, the model's prediction"
            @if predictions.has_before { ", before and after training" }
            ", with the probability of that class."
        }
        @if lost > 0 {
            (callout(Tone::Note, &format!(
                "{lost} of {} image files are not where {AFTER} says, seen from the folder in which this report was \
                 made: make it in the folder in which the predictions were made.",
                cards.len()
            )))
        }
        ul class="gallery" { @for card in &cards { (card) } }
    }
}

fn alternative(predictions: &Predictions, image: &Image) -> String {
    format!("An image of the class {}", printable(&predictions.classes[image.label]))
}

fn guess(predictions: &Predictions, image: &Image, guess: Guess, when: &str) -> Markup {
    let is_right = guess.class == image.label;
    let (class, word) = if is_right { ("right", "right") } else { ("wrong", "wrong") };
    html! {
        span class={ "guess " (class) } {
            span class="when" { (when) ": " }
            (printable(&predictions.classes[guess.class])) " "
            span class="share" { (format!("{:.0} %", 100.0 * guess.probability)) }
            span class="hidden" { ", " (word) }
        }
    }
}

/// Some images of each outcome, spread over the classes; the same in every call.
fn examples(images: &[Image]) -> Vec<&Image> {
    let kinds =
        [(Some(false), true), (Some(true), false), (Some(false), false), (Some(true), true)];
    let mut groups: Vec<Vec<&Image>> = kinds
        .map(|kind| images.iter().filter(|it| (it.was_right(), it.is_right()) == kind).collect())
        .into();
    for is_right in [true, false] {
        let unknown = |it: &&Image| it.was_right().is_none() && it.is_right() == is_right;
        groups.push(images.iter().filter(unknown).collect());
    }
    groups.retain(|group| !group.is_empty());
    let mut room = MOST_EXAMPLES.min(images.len());
    // Small groups leave their room to the larger ones.
    groups.sort_by_key(Vec::len);
    let mut chosen = Vec::new();
    let left = groups.len();
    for (at, group) in groups.into_iter().enumerate() {
        let take = (room / (left - at)).min(group.len());
        chosen.extend((0..take).map(|place| group[place * group.len() / take]));
        room -= take;
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_of_all_outcomes_and_no_more_than_there_is_room_for() {
        let guess = |class| Guess { class, probability: 0.5 };
        let image = |at: usize, before, after| Image {
            path: at.to_string(),
            label: 0,
            before: Some(guess(before)),
            after: guess(after),
        };
        let mut images: Vec<Image> = (0..100).map(|at| image(at, 0, 0)).collect();
        images.push(image(100, 1, 0));
        images.extend((101..110).map(|at| image(at, 1, 1)));
        let chosen = examples(&images);
        assert_eq!(chosen.len(), MOST_EXAMPLES);
        assert_eq!(
            chosen.iter().filter(|it| it.was_right() == Some(false) && it.is_right()).count(),
            1
        );
        assert!(chosen.iter().filter(|it| !it.is_right()).count() >= 9, "{chosen:?}");
        let mut paths: Vec<&str> = chosen.iter().map(|it| it.path.as_str()).collect();
        paths.sort_unstable();
        paths.dedup();
        assert_eq!(paths.len(), MOST_EXAMPLES, "no image twice");
        assert_eq!(examples(&images[..3]).len(), 3);
        assert!(examples(&[]).is_empty());
    }
}
