select * from {{ ref('model_calls') }} where calls <> ok + errors
