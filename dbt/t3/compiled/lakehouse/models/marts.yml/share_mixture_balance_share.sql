

select share
from "y"."stats"."mixture_balance"
where not share between 0 and 1
