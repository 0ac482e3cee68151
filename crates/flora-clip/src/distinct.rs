//! Check that a model can distinguish the classes.

use std::collections::HashMap;

use crate::ClipError;

/// Checks that no two classes have the same prompts. `ids` are the token ids of all prompts, as the model reads them;
/// `counts` is the number of prompts of each class, in order. `prompts` are their texts, for messages.
///
/// # Errors
///
/// [`ClipError::Classes`] with a prompt from each of the first two classes that coincide. Names that differ only in
/// case or white space have the same tokens, and so do long names that differ only after the cut.
///
/// # Panics
///
/// If a class has no prompt, or the lengths of `ids` and `prompts` are not the sum of `counts`.
pub fn check_distinct<S: AsRef<str>>(
    ids: &[Vec<u32>],
    counts: &[usize],
    prompts: &[S],
) -> Result<(), ClipError> {
    let total: usize = counts.iter().sum();
    assert!(!counts.contains(&0), "every class has a prompt");
    assert_eq!(
        [ids.len(), prompts.len()],
        [total; 2],
        "ids and prompts are as many as the classes have"
    );
    let mut seen: HashMap<&[Vec<u32>], usize> = HashMap::new();
    let mut start = 0;
    for &count in counts {
        if let Some(first) = seen.insert(&ids[start..start + count], start) {
            let [first, second] = [first, start].map(|at| prompts[at].as_ref());
            return Err(ClipError::Classes(format!(
                "{first:?} and {second:?} are the same to the model, which sees {} tokens of each, without regard \
                 to case and spaces; name the classes so that they differ",
                ids[start].len()
            )));
        }
        start += count;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_differ_if_one_of_their_prompts_does() {
        let prompts = ["a", "b", "c", "d"];
        let ids = [vec![1], vec![2], vec![1], vec![3]];
        check_distinct(&ids, &[2, 2], &prompts).unwrap();
        let error = check_distinct(&ids, &[1, 1, 1, 1], &prompts).unwrap_err().to_string();
        assert!(error.contains("\"a\" and \"c\""), "{error}");
        let mismatched: [(&[usize], usize); 4] =
            [(&[2, 3], 4), (&[2, 1], 4), (&[4], 3), (&[4, 0], 4)];
        for (counts, texts) in mismatched {
            let check = || check_distinct(&ids, counts, &prompts[..texts]);
            assert!(std::panic::catch_unwind(check).is_err(), "{counts:?} {texts}");
        }
        let ids = [vec![1], vec![2], vec![1], vec![2]];
        let error = check_distinct(&ids, &[2, 2], &prompts).unwrap_err().to_string();
        assert!(error.contains("\"a\" and \"c\""), "{error}");
    }
}
