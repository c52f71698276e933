
    
    



select tokens
from "y"."stats"."shard_fill"
where tokens is null


