-- Tokens of each tokenised document. Mixtures may tokenise a document each with its own tokenizer: the first by name counts.
select component as "table", doc_id, arg_min(n_tokens, "table") as tokens
from {{ source('lake', 'tokens') }}
group by all
