

select target_share
from "y"."stats"."mixture_balance"
where not target_share between 0 and 1
