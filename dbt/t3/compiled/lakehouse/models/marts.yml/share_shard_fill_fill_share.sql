

select fill_share
from "y"."stats"."shard_fill"
where not fill_share between 0 and 1
