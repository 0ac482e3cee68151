//! Clients whose sums a closed-form run did not receive.

use std::collections::BTreeSet;

use flora_federation::{ClientInfo, Event};

use crate::methods::ClosedFormConfig;

/// Maximum number of clients to name; `run.json` lists all.
const NAMED: usize = 10;

/// Clients that have training images and are not `counted`.
pub(crate) fn of(clients: &[ClientInfo], counted: &BTreeSet<String>) -> BTreeSet<String> {
    let ids = clients.iter().filter(|info| info.num_examples > 0).map(|info| &info.id);
    ids.filter(|id| !counted.contains(*id)).cloned().collect()
}

/// Notes at the end of a run: which clients' images the sums lack or still contain, and that they are empty if all
/// clients have left. `summed` are the clients whose images are in the sums.
pub(crate) fn events(
    settings: &ClosedFormConfig,
    uncounted: &BTreeSet<String>,
    summed: &BTreeSet<String>,
) -> Vec<Event> {
    if uncounted.is_empty() {
        let is_empty = settings.leaving && summed.is_empty();
        let message = "all clients have left and the sums are empty: the result is the model without a classifier, \
                       which is the zero-shot model (with method.init_adapter, that of the adapter)";
        return is_empty.then(|| Event::Note { message: message.to_owned() }).into_iter().collect();
    }
    let named: Vec<&str> = uncounted.iter().take(NAMED).map(String::as_str).collect();
    let (who, them) = match uncounted.len() - named.len() {
        0 => (named.join(", "), format!("{named:?}")),
        more => {
            let who = format!("{} and {more} more", named.join(", "));
            (who, "those in run.json, `uncounted`".to_owned())
        }
    };
    let (problem, remedy, leaving) = match settings.leaving {
        true => (
            "the sums still contain the images of",
            "take them away",
            ", method.closed_form.leaving = true",
        ),
        false => ("the sums lack the images of", "add them", ""),
    };
    let message = format!(
        "{problem} {who}, whose replies failed, were late or were rejected; to {remedy}, run again with \
         federation.participants = {them}, and with this run's folder as method.closed_form.start{leaving}"
    );
    vec![Event::Warning { message }]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(leaving: bool, uncounted: &[&str], summed: &[&str]) -> Vec<Event> {
        let settings = ClosedFormConfig { leaving, ..ClosedFormConfig::default() };
        let ids = |ids: &[&str]| ids.iter().map(|&id| id.to_owned()).collect();
        events(&settings, &ids(uncounted), &ids(summed))
    }

    fn warned(leaving: bool, uncounted: &[&str]) -> String {
        match said(leaving, uncounted, &["z"]).pop() {
            Some(Event::Warning { message }) => message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn clients_whose_sums_did_not_come_are_named() {
        let left = warned(true, &["a", "b"]);
        assert!(left.starts_with("the sums still contain the images of a, b, whose"), "{left}");
        assert!(
            left.contains("federation.participants = [\"a\", \"b\"], and with this run's"),
            "{left}"
        );
        assert!(left.ends_with("method.closed_form.leaving = true"), "{left}");
        let added = warned(false, &["a"]);
        assert!(added.starts_with("the sums lack the images of a, whose"), "{added}");
        assert!(!added.contains("leaving"), "{added}");
        let ids: Vec<String> = (0..12).map(|number| format!("c{number:02}")).collect();
        let many = warned(false, &ids.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(
            many.contains("c09 and 2 more, whose") && many.contains("= those in run.json"),
            "{many}"
        );
    }

    #[test]
    fn nothing_is_said_unless_sums_are_missing_or_empty() {
        assert!(said(false, &[], &["a"]).is_empty());
        assert!(said(true, &[], &["a"]).is_empty());
        let all_left = said(true, &[], &[]);
        assert!(
            matches!(&all_left[..], [Event::Note { message }] if message.contains("sums are empty"))
        );
    }
}
