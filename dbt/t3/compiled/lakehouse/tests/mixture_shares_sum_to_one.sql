select "table"
from "y"."stats"."mixture_balance"
group by "table"
having abs(sum(share) - 1) > 1e-9