select "table"
from {{ ref('synthetic_share') }}
group by "table"
having abs(sum(share) - 1) > 1e-9
