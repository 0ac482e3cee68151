use std::collections::BTreeSet;

use super::{ClientSelector, Draw, Selection, drawn, ids};
use crate::{ClientInfo, FederationError};

/// Draws a constant number of clients from all that are registered, whether they are present or not; an absent one
/// fails to train.
///
/// [`ClientSelector`] draws the same number if all are present, but a share of the present ones otherwise. If few are
/// present, each of them is then drawn more often than the fraction says. Privacy accounting needs the opposite: here,
/// no client is drawn with a higher probability than `count` divided by the number registered at the beginning. Clients
/// that join later are drawn from, too, which lowers the probability.
#[derive(Debug, Clone, PartialEq)]
pub struct Registered {
    selector: ClientSelector,
    registered: BTreeSet<String>,
    count: usize,
}

impl Registered {
    /// Draws as many of `trainers`, the clients that hold training examples, as `selector` does when all are present.
    pub fn new(selector: ClientSelector, trainers: &[ClientInfo]) -> Self {
        let registered: BTreeSet<String> = ids(trainers).into_iter().collect();
        let count = selector.count(registered.len());
        Self { selector, registered, count }
    }
}

impl Selection for Registered {
    /// The errors of [`ClientSelector`].
    fn check(&self, trainers: &[ClientInfo]) -> Result<(), FederationError> {
        self.selector.check(trainers)
    }

    /// The drawn clients, present or not, sorted by id. If all registered clients take part, so do those that joined
    /// later.
    fn select(&self, draw: Draw, trainers: &[ClientInfo]) -> Vec<String> {
        let mut all = self.registered.clone();
        all.extend(ids(trainers));
        let all: Vec<String> = all.into_iter().collect();
        match self.count < self.registered.len() {
            true => drawn(draw, all, self.count),
            false => all,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::testing::{draw, trainers},
        *,
    };

    #[test]
    fn the_draw_does_not_depend_on_who_is_present() {
        let selector = ClientSelector { fraction: 0.1, min_clients: 10 };
        let (all, few) = (trainers(100), trainers(20));
        let registered = Registered::new(selector, &all);
        let mut present = 0;
        for round in 0..200 {
            let drawn = registered.select(draw(3, round), &all);
            assert_eq!(drawn, selector.select(draw(3, round), &all));
            assert_eq!(registered.select(draw(3, round), &few), drawn);
            present += drawn.iter().filter(|id| id.as_str() < "client-20").count();
        }
        // A tenth of the 20 present clients a round: 400 in all, with a standard deviation of 17. The fraction of the
        // present ones, at least ten, would be 2,000.
        assert!((330..470).contains(&present), "{present}");
    }

    #[test]
    fn clients_that_join_later_are_drawn_from() {
        let selector = ClientSelector { fraction: 0.5, min_clients: 1 };
        let registered = Registered::new(selector, &trainers(10));
        let drawn: Vec<_> =
            (0..100).map(|round| registered.select(draw(3, round), &trainers(20))).collect();
        assert!(drawn.iter().all(|drawn| drawn.len() == 5));
        assert!(drawn.iter().flatten().any(|id| id == "client-19"));
        let all = Registered::new(ClientSelector::default(), &trainers(10));
        assert_eq!(all.select(draw(3, 0), &trainers(20)).len(), 20);
    }
}
