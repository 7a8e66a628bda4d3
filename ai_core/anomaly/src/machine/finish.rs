//! What the end of a statement and of a text adds: open brackets, cutting comments, stacks, obfuscation.

use super::frame::{Clause, Ctx, Frame, Opener};
use super::{Kind, Kw, Machine, Marks, Signal, StatementClass, Tail, Tok};

impl Machine<'_> {
    pub(super) fn semicolon(&mut self, _next: &Tok) {
        self.close_all();
        if !self.fresh {
            self.statements = self.statements.saturating_add(1);
        }
        self.fresh = true;
        self.frames.clear();
        self.frames.push(Frame::new(Opener::Top, Ctx::Top));
    }

    /// Ends every open frame at a `;` or at the end; open brackets are a signal of their own.
    pub(super) fn close_all(&mut self) {
        let mut open = self.overflow > 0;
        self.overflow = 0;
        while self.frames.len() > 1 {
            if !matches!(self.top().opener, Opener::Case | Opener::Bracket) {
                open = true;
            }
            self.pop_frame();
        }
        self.end_query();
        if open && !self.body {
            self.raise(Signal::Unbalanced);
        }
    }

    pub(super) fn finish(&mut self, marks: &Marks) {
        let last = self.prev;
        let (clause, has_where) = {
            let top = self.top();
            (top.clause, top.clause.is_predicate())
        };
        let nested = self.frames.len() > 1;
        self.close_all();
        if marks.open_literal || marks.open_comment || self.extra_close {
            self.raise(Signal::Unbalanced);
        }
        let rows = matches!(self.class, StatementClass::Read | StatementClass::Write);
        if rows && !self.body {
            self.tail(marks, &last, clause, has_where || nested);
        }
        match self.encoded {
            0 => {}
            1 => self.raise(Signal::Encoded),
            _ => self.raise(Signal::EncodedChain),
        }
        if marks.exec_comments > 0 {
            let inside = rows && self.first != Kw::None;
            self.raise(if inside { Signal::ExecComment } else { Signal::ExecWhole });
        }
        if rows && (marks.hollow_comments > 0 || marks.mixed_case > 1 || marks.odd_blanks > 0) {
            self.raise(Signal::Obfuscated);
        }
        if self.body {
            // Bodies are judged for what they reach, not for the shape of their control flow.
            self.signals &= Signal::FileAccess.bit() | Signal::Script.bit() | Signal::Dynamic.bit();
        } else if !rows {
            self.signals &= !(Signal::CondProbe.bit() | Signal::Encoded.bit() | Signal::CompareChain.bit());
        }
    }

    /// What the comment at the end of the text cuts off.
    pub(super) fn tail(&mut self, marks: &Marks, last: &Tok, clause: Clause, in_predicate: bool) {
        let after_literal = last.is_literal();
        match marks.tail {
            Tail::None => {}
            Tail::Residue => self.raise(Signal::CommentCut),
            Tail::Stub => {
                let cut = (after_literal && in_predicate) || clause == Clause::OrderBy;
                let nested_in_data = in_predicate || self.class == StatementClass::Write;
                if cut {
                    self.raise(Signal::CommentCut);
                } else if self.user_table || nested_in_data {
                    self.raise(Signal::CommentStub);
                }
            }
            Tail::Remark => {
                if last.kind == Kind::Text && in_predicate && !self.prev.commented && marks.open_comment {
                    self.raise(Signal::CommentCut);
                }
            }
        }
    }
}
