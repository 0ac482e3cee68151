use super::PickleError;
use super::graph::Span;

/// The pickle's bytes, read from front to back.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8], position: usize) -> Self {
        Self { bytes, position }
    }

    pub(super) fn position(&self) -> usize {
        self.position
    }

    pub(super) fn error(&self, problem: impl Into<String>) -> PickleError {
        PickleError { offset: self.position, problem: problem.into() }
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], PickleError> {
        match self.bytes.get(self.position..).and_then(|rest| rest.first_chunk::<N>()) {
            Some(chunk) => {
                self.position += N;
                Ok(*chunk)
            }
            None => Err(self.error("ends here; the file is cut short or damaged")),
        }
    }

    pub(super) fn u8(&mut self) -> Result<u8, PickleError> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u16(&mut self) -> Result<u16, PickleError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32, PickleError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, PickleError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Skips `len` bytes and returns their span.
    pub(super) fn span(&mut self, len: u64) -> Result<Span, PickleError> {
        let left = self.bytes.len().saturating_sub(self.position);
        let len = usize::try_from(len).ok().filter(|&len| len <= left).ok_or_else(|| {
            let problem = format!("asks for {len} bytes, but {left} are left; the file is damaged");
            self.error(problem)
        })?;
        let span = Span::new(self.position, len);
        self.position += len;
        Ok(span)
    }

    /// A line without its ending, as the two names of a GLOBAL are written.
    pub(super) fn line(&mut self) -> Result<Span, PickleError> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        match rest.iter().position(|&byte| byte == b'\n') {
            Some(len) => {
                let span = Span::new(self.position, len);
                self.position += len + 1;
                Ok(span)
            }
            None => Err(self.error("a name is not terminated; the file is cut short or damaged")),
        }
    }
}
