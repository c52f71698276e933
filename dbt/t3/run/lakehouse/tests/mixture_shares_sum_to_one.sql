
    
    select
      count(*) as failures,
      count(*) != 0 as should_warn,
      count(*) != 0 as should_error
    from (
      
    
  select "table"
from "y"."stats"."mixture_balance"
group by "table"
having abs(sum(share) - 1) > 1e-9
  
  
      
    ) dbt_internal_test